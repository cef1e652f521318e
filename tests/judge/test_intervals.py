import time

import numpy as np
import pytest

from bootstrap import difference_interval, macro_f1_interval
from polydx.judge.intervals import resampled_macro_f1
from polydx.judge.metrics import macro_f1


def decisions(rows=300, labels=5, seed=0, noise=0.1):
    draw = np.random.default_rng(seed)
    targets = draw.random((rows, labels)) < 0.3
    return targets ^ (draw.random((rows, labels)) < noise), targets


def test_the_interval_is_that_of_a_plain_bootstrap():
    decided, targets = decisions()
    draw = np.random.default_rng(1)
    plain = []
    for _ in range(2000):
        rows = draw.integers(0, len(targets), len(targets))
        plain.append(macro_f1(decided[rows], targets[rows]))
    found = macro_f1_interval(decided, targets, samples=2000, seed=2)
    bias = np.mean(plain) - macro_f1(decided, targets)
    np.testing.assert_allclose(found, np.quantile(plain, [0.025, 0.975]) - bias, atol=0.004)
    assert found[0] < macro_f1(decided, targets) < found[1]


def long_tailed(seed, rows=600, labels=60):
    """Labels of 1 to 30 records in expectation, of which seven in ten are found."""
    draw = np.random.default_rng(seed)
    targets = draw.random((rows, labels)) < np.geomspace(1, 30, labels) / rows
    decided = np.where(targets, draw.random((rows, labels)) < 0.7, draw.random((rows, labels)) < 0.3 * targets.mean(0))
    return decided, targets


def test_intervals_hold_the_expected_score_where_labels_are_rare():
    """The planted fault: without the bootstrap's bias taken off most of them lie below it."""
    tables = [long_tailed(seed) for seed in range(100)]
    expected = np.mean([macro_f1(decided, targets) for decided, targets in tables])
    held, held_unmoved = 0, 0
    for decided, targets in tables:
        low, high = macro_f1_interval(decided, targets, samples=200, seed=0)
        resampled = resampled_macro_f1(decided, targets, samples=200, seed=0)
        unmoved = np.quantile(resampled, [0.025, 0.975])
        assert low < macro_f1(decided, targets) < high
        held += low <= expected <= high
        held_unmoved += unmoved[0] <= expected <= unmoved[1]
    assert held >= 85 and held_unmoved <= 70


def test_no_interval_leaves_what_a_score_can_be():
    targets = np.eye(8, dtype=bool)
    low, high = macro_f1_interval(targets, targets, samples=200, seed=0)
    assert low < high == 1.0
    assert macro_f1_interval(~targets & False, targets, samples=200, seed=0) == (0.0, 0.0)
    assert difference_interval(targets, ~targets & False, targets, samples=200, seed=0)[1] == 1.0


def test_chunks_do_not_change_the_answer(monkeypatch):
    decided, targets = decisions()
    whole = macro_f1_interval(decided, targets, samples=500, seed=2)
    monkeypatch.setattr("polydx.judge.intervals._CHUNK_CELLS", 7 * len(targets))
    assert macro_f1_interval(decided, targets, samples=500, seed=2) == whole


def test_a_paired_difference_is_narrower_than_two_intervals():
    first, targets = decisions(noise=0.10)
    second = first.copy()
    second[:60] = targets[:60]
    low, high = difference_interval(second, first, targets, samples=1000, seed=0)
    assert 0 < low < macro_f1(second, targets) - macro_f1(first, targets) < high
    alone = macro_f1_interval(first, targets, samples=1000, seed=0)
    assert high - low < alone[1] - alone[0]
    assert difference_interval(first, first, targets, samples=200, seed=0) == (0.0, 0.0)


def test_the_same_seed_gives_the_same_interval():
    decided, targets = decisions()
    first, again = (macro_f1_interval(decided, targets, samples=200, seed=5) for _ in range(2))
    assert first == again != macro_f1_interval(decided, targets, samples=200, seed=6)


@pytest.mark.parametrize("rows", [8000])
def test_a_thousand_resamples_take_seconds(rows):
    decided, targets = decisions(rows=rows, labels=52)
    started = time.process_time()
    macro_f1_interval(decided, targets, samples=1000, seed=0)
    assert time.process_time() - started < 6
