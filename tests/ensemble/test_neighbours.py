import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polydx.ensemble.neighbours import fold_safe_rates, nearest_label_rates, unlabelled_rates


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4))
def test_rates_against_a_plain_loop(seed, width):
    draw = np.random.default_rng(seed)
    labelled = draw.permutation(40)[:25].astype(float)
    targets = draw.random((25, 3)) < 0.4
    numbers = draw.uniform(-3, 43, 10)
    found = nearest_label_rates(numbers, labelled, targets, [width])[0]
    for row, number in enumerate(numbers):
        lower = sorted((n, i) for i, n in enumerate(labelled) if n < number)[-width:]
        upper = sorted((n, i) for i, n in enumerate(labelled) if n >= number)[:width]
        near = [i for _, i in lower + upper]
        np.testing.assert_allclose(found[row], targets[near].mean(axis=0), rtol=1e-6)


def test_records_without_a_number_get_the_overall_rates():
    targets = np.array([[True, False], [True, True], [False, False], [True, False]])
    overall = targets.mean(axis=0)
    found = nearest_label_rates(np.array([np.nan, 1.0]), np.array([1.0, 2.0, np.nan, 3.0]), targets, [1])
    np.testing.assert_allclose(found[0, 0], overall)
    nothing_near = nearest_label_rates(np.array([1.0]), np.full(4, np.nan), targets, [1])
    np.testing.assert_allclose(nothing_near[0, 0], overall)


def changed_rows(fold_of_row, numbers, hidden, changed_fold):
    """Rows whose rates move when the labels of one fold are turned over."""
    targets = np.random.default_rng(5).random((len(numbers), 4)) < 0.5
    other = targets.copy()
    other[fold_of_row == changed_fold] ^= True
    before, after = (fold_safe_rates(numbers, labels, fold_of_row, hidden, [2, 8]) for labels in (targets, other))
    return (before != after).any(axis=(0, 2))


@pytest.mark.parametrize("hidden", [frozenset(), frozenset({1}), frozenset({1, 3})])
def test_no_row_sees_its_own_fold_and_none_sees_a_hidden_one(hidden):
    draw = np.random.default_rng(0)
    fold_of_row, numbers = draw.integers(0, 5, 200), draw.permutation(200).astype(float)
    for fold in range(5):
        moved = changed_rows(fold_of_row, numbers, hidden, fold)
        if fold in hidden:
            assert not moved.any()
        else:
            assert not moved[fold_of_row == fold].any()
            assert moved.any()


@pytest.mark.parametrize("hidden", [frozenset({1}), frozenset({1, 3})])
def test_fitted_and_scored_rows_have_equally_many_labelled_neighbours(hidden):
    fold_of_row, numbers = np.repeat(np.arange(5), 20), np.random.default_rng(1).permutation(100).astype(float)
    marks = fold_of_row[:, None] == np.arange(5)
    rates = fold_safe_rates(numbers, marks, fold_of_row, hidden, [1000])[0]
    folds_seen = (rates > 0).sum(axis=1)
    assert set(folds_seen.tolist()) == {5 - len(hidden) - 1}


def test_test_rows_get_a_reading_without_each_fold():
    fold_of_row, numbers = np.repeat(np.arange(4), 10), np.arange(40.0)
    marks = fold_of_row[:, None] == np.arange(4)
    rates = unlabelled_rates(np.array([5.5, 20.5]), numbers, marks, fold_of_row, [1000])
    assert rates.shape == (4, 1, 2, 4)
    for fold in range(4):
        np.testing.assert_allclose(
            rates[fold, 0], np.where(np.arange(4) == fold, 0, 1 / 3) * np.ones((2, 1)), rtol=1e-6
        )
