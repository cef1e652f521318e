import numpy as np
import pytest

from polydx.ensemble import row_sampling
from polydx.ensemble.row_sampling import local_case_control, thin_negatives


def rare(rows=40_000, seed=0):
    """A rare label that a first fit knows something of."""
    draw = np.random.default_rng(seed)
    expected = 1 / (1 + np.exp(-draw.normal(-7, 2, rows)))
    return draw.random(rows) < expected, expected.astype(np.float32)


def test_thinning_keeps_all_positives_and_says_what_a_negative_stands_for():
    targets = np.random.default_rng(0).random((4000, 5)) < [0.25, 0.2, 0.1, 0.05, 0.02]
    rows, weight = thin_negatives(targets, 6_000, np.random.default_rng(0))
    assert all(np.isin(np.flatnonzero(column), kept).all() for column, kept in zip(targets.T, rows, strict=True))
    assert sum(map(len, rows)) == pytest.approx(6_000, rel=0.05)
    assert sum(map(len, rows)) - targets.sum() == pytest.approx((targets.size - targets.sum()) / weight, rel=0.05)


def test_a_short_table_or_a_single_label_is_not_thinned():
    targets = np.zeros((50, 2), dtype=bool)
    for some, most in ((targets, 100), (targets[:, :1], 10)):
        rows, weight = thin_negatives(some, most, np.random.default_rng(0))
        assert weight == 1.0 and all((kept == np.arange(50)).all() for kept in rows)


def test_each_row_is_kept_by_its_chance():
    wanted, expected = rare()
    kept, weights = local_case_control(wanted, expected, 1, np.random.default_rng(3))
    draws, least = np.random.default_rng(3).random(len(wanted)), max(2_000, 10 * wanted.sum()) / len(wanted)
    chances = [1.0 if yes else min(1.0, max(least, 10 * p)) for yes, p in zip(wanted, expected.tolist(), strict=True)]
    assert kept.tolist() == [row for row, chance in enumerate(chances) if draws[row] < chance]
    np.testing.assert_allclose(weights, [1 / chances[row] for row in kept], rtol=1e-6)
    assert weights.dtype == np.float32 and len(kept) < 0.2 * len(wanted)


def test_the_kept_rows_stand_for_all():
    wanted, expected = rare()
    draw, sums = np.random.default_rng(0), []
    for _ in range(30):
        kept, weights = local_case_control(wanted, expected, 1, draw)
        assert np.isin(np.flatnonzero(wanted | (expected > 0.1)), kept).all()
        sums.append([weights.sum(), weights @ expected[kept], weights @ expected[kept] ** 2])
    whole = [len(wanted), expected.sum(), (expected**2).sum()]
    np.testing.assert_allclose(np.mean(sums, axis=0), whole, rtol=0.01)


@pytest.mark.parametrize(("rows", "labels"), [(2_000, 1), (7_000, 4)])
def test_a_short_table_is_kept_whole(rows, labels):
    wanted, expected = np.zeros(rows, dtype=bool), np.zeros(rows, dtype=np.float32)
    kept, weights = local_case_control(wanted, expected, labels, np.random.default_rng(0))
    assert (kept == np.arange(rows)).all() and (weights == 1).all()


def test_a_common_label_keeps_all_rows(monkeypatch):
    monkeypatch.setattr(row_sampling, "FEWEST_ROWS", 10)
    wanted = np.arange(1_000) % 8 == 0
    kept, _ = local_case_control(wanted, np.full(1_000, 0.1, dtype=np.float32), 1, np.random.default_rng(0))
    assert len(kept) == 1_000
