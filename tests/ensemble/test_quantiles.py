import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import percentileofscore

from polydx.ensemble.cuts import NOTHING_KNOWN
from polydx.ensemble.quantiles import match_distribution, match_thresholds, rank_shares, values_at


def table(seed, rows, steps=1000, labels=2):
    return (np.random.default_rng(seed).integers(0, steps + 1, (rows, labels)) / steps).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 20), st.integers(1, 20), st.sampled_from([3, 1000]))
def test_ranks_and_values_are_numpys_and_scipys(seed, rows, others, steps):
    values, reference = table(seed, rows, steps), table(seed + 1, others, steps)
    shares = rank_shares(values, reference)
    for label in range(2):
        plain = [percentileofscore(reference[:, label], value, "mean") / 100 for value in values[:, label]]
        np.testing.assert_allclose(shares[:, label], plain, atol=1e-6)
        quantiles = np.quantile(reference[:, label].astype(np.float64), shares[:, label], method="hazen")
        np.testing.assert_allclose(values_at(shares, reference)[:, label], quantiles, atol=1e-6)


def test_matched_values_keep_their_order_and_take_the_references_distribution():
    values, reference = table(0, 500) ** 3, table(1, 2000)
    matched = match_distribution(values, reference)
    for label in range(2):
        assert (np.diff(matched[np.argsort(values[:, label], kind="stable"), label]) >= 0).all()
        for share in (0.1, 0.5, 0.9):
            assert abs(np.quantile(matched[:, label], share) - np.quantile(reference[:, label], share)) < 0.01
    np.testing.assert_allclose(match_distribution(values, values), values, atol=1e-6)


def test_a_moved_threshold_parts_off_the_same_share_of_rows():
    fitted_on, used_on = table(0, 400, 10**6), table(1, 300, 10**6) ** 2
    thresholds = np.array([0.9, 0.35])
    moved = match_thresholds(thresholds, fitted_on, used_on)
    shares = [(fitted_on >= thresholds).mean(axis=0), (used_on >= moved).mean(axis=0)]
    np.testing.assert_allclose(*shares, atol=1 / 300)
    nobody = match_thresholds(np.array([2.0, 0.35]), fitted_on, used_on)
    assert nobody[0] == NOTHING_KNOWN and nobody[1] == moved[1]
