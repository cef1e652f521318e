import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polydx.ensemble.neighbours import (
    fold_safe_rates,
    kernel_rates,
    label_rates,
    nearest_rates,
    neighbour_opinions,
    run_rates,
    unlabelled_rates,
    view_names,
)
from polydx.ensemble.thresholds import f1_thresholds
from polydx.judge.metrics import best_constant_prediction_f1, macro_f1

NEAREST, KERNELS, RUN = slice(0, 2), slice(2, 4), 4
"""The views of two widths."""


def scattered(seed):
    draw = np.random.default_rng(seed)
    known = draw.permutation(40)[:25].astype(float)
    numbers = np.concatenate([draw.uniform(-3, 43, 8), known[:3]])
    return numbers, known, draw.random((25, 3)) < 0.4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4))
def test_nearest_against_a_plain_loop(seed, width):
    numbers, known, targets = scattered(seed)
    found = nearest_rates(numbers, known, targets, [width])[0]
    for row, number in enumerate(numbers):
        lower = sorted((n, i) for i, n in enumerate(known) if n < number)[-width:]
        upper = sorted((n, i) for i, n in enumerate(known) if n > number)[:width]
        near = [i for _, i in lower + upper]
        np.testing.assert_allclose(found[row], targets[near].mean(axis=0), rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.3, 20))
def test_kernels_against_a_plain_loop(seed, bandwidth):
    numbers, known, targets = scattered(seed)
    found = kernel_rates(numbers, known, targets, [bandwidth])[0]
    for row, number in enumerate(numbers):
        weights = np.where(known == number, 0, np.exp(-np.abs(known - number) / bandwidth))
        expected = (weights @ targets + 0.1 * targets.mean(axis=0)) / (weights.sum() + 0.1)
        np.testing.assert_allclose(found[row], expected, rtol=1e-5, atol=1e-7)


def test_records_without_a_number_get_the_overall_rates():
    targets = np.array([[True, False], [True, True], [False, False], [True, False]])
    overall = np.broadcast_to(targets.mean(axis=0), (3, 2))
    found = label_rates(np.array([np.nan, 1.0]), np.array([1.0, 2.0, np.nan, 3.0]), targets, [1])
    np.testing.assert_allclose(found[:, 0], overall, rtol=1e-6)
    nothing_near = label_rates(np.array([1.0]), np.full(4, np.nan), targets, [1])
    np.testing.assert_allclose(nothing_near[:, 0], overall, rtol=1e-6)


def test_every_view_has_a_name_and_none_is_there_unasked():
    numbers, known, targets = scattered(0)
    assert view_names([2, 5]) == [
        "rate among 4 neighbours",
        "rate among 10 neighbours",
        "rate by a kernel of 2 numbers",
        "rate by a kernel of 5 numbers",
        "rate in its run",
    ]
    assert label_rates(numbers, known, targets, [2, 5]).shape == (5, len(numbers), 3)
    assert view_names([]) == [] and label_rates(numbers, known, targets, []).shape == (0, len(numbers), 3)


def test_a_repeated_number_is_one_record_of_a_run():
    targets = np.repeat([[True, False], [False, True]], 20, axis=0)
    numbers = np.arange(40.0)
    once = run_rates(numbers, numbers, targets)
    twice = run_rates(numbers, np.repeat(numbers, 2), np.repeat(targets, 2, axis=0))
    np.testing.assert_allclose(once, twice)
    assert once[5, 0] > 0.85 and once[5, 1] < 0.15


def test_a_planted_own_label_changes_neither_window_nor_kernel():
    """The planted leak: the record itself stands among the labelled ones."""
    _, known, targets = scattered(1)
    own = 3
    other = targets.copy()
    other[own] ^= True
    for rates in (nearest_rates, kernel_rates):
        # The overall rate may move, a neighbour may not: values whose mean is the same before and after.
        before, after = (rates(known[[own]], known, labels - labels.mean(axis=0), [4]) for labels in (targets, other))
        difference = (targets.mean(axis=0) - other.mean(axis=0))[None, None]
        weight = 1 if rates is nearest_rates else (after - before).max() / difference.max()
        np.testing.assert_allclose(after - before, weight * difference, atol=1e-6)


def changed_rows(fold_of_row, numbers, hidden, changed_fold):
    """`[views, rows]`: where rates move when the labels of one fold are turned over."""
    targets = np.random.default_rng(5).random((len(numbers), 4)) < 0.5
    targets[:100, 0] = targets[100:, 1] = True
    other = targets.copy()
    other[fold_of_row == changed_fold] ^= True
    before, after = (fold_safe_rates(numbers, labels, fold_of_row, hidden, [2, 8]) for labels in (targets, other))
    return (before != after).any(axis=2)


@pytest.mark.parametrize("hidden", [frozenset(), frozenset({1}), frozenset({1, 3})])
def test_no_row_sees_its_own_fold_and_none_sees_a_hidden_one(hidden):
    fold_of_row, numbers = np.random.default_rng(0).integers(0, 5, 200), np.arange(200.0)
    for fold in range(5):
        moved = changed_rows(fold_of_row, numbers, hidden, fold)
        if fold in hidden:
            assert not moved.any()
        else:
            assert not moved[:, fold_of_row == fold].any()
            assert moved.any(axis=1).all()


def test_a_planted_neighbour_of_the_same_fold_is_seen():
    """What the guard above would see if a row's own fold were let in: every view moves."""
    numbers = np.arange(60.0)
    targets = np.random.default_rng(2).random((60, 4)) < 0.5
    other = targets.copy()
    other[20:40] ^= True
    before, after = (label_rates(numbers[20:40], numbers, labels, [2, 8]) for labels in (targets, other))
    assert (before != after).any(axis=(1, 2)).all()


@pytest.mark.parametrize("hidden", [frozenset({1}), frozenset({1, 3})])
def test_fitted_and_scored_rows_have_equally_many_labelled_neighbours(hidden):
    fold_of_row, numbers = np.repeat(np.arange(5), 20), np.random.default_rng(1).permutation(100).astype(float)
    marks = fold_of_row[:, None] == np.arange(5)
    rates = fold_safe_rates(numbers, marks, fold_of_row, hidden, [1000])[0]
    folds_seen = (rates > 0).sum(axis=1)
    assert set(folds_seen.tolist()) == {5 - len(hidden) - 1}


def test_test_rows_get_rates_without_each_fold():
    fold_of_row, numbers = np.repeat(np.arange(4), 10), np.arange(40.0)
    marks = fold_of_row[:, None] == np.arange(4)
    rates = unlabelled_rates(np.array([5.5, 20.5]), numbers, marks, fold_of_row, [1000])
    assert rates.shape == (4, 3, 2, 4)
    for fold in range(4):
        np.testing.assert_allclose(
            rates[fold, 0], np.where(np.arange(4) == fold, 0, 1 / 3) * np.ones((2, 1)), rtol=1e-6
        )
        assert (rates[fold, :, :, fold] == 0).all(axis=1)[[0, 1]].all()


def nested_scores(numbers, targets, fold_of_row):
    """Each view's macro-F1; views and thresholds of a fold saw none of its labels."""
    decided = np.zeros((5, *targets.shape), dtype=bool)
    for fold in range(5):
        rows = fold_of_row == fold
        views = fold_safe_rates(numbers, targets, fold_of_row, frozenset({fold}), [3, 30])
        for index, view in enumerate(views):
            decided[index, rows] = view[rows] >= f1_thresholds(view[~rows], targets[~rows])
    return np.array([macro_f1(decisions, targets) for decisions in decided])


def test_permuted_labels_fall_to_the_constants_score():
    draw = np.random.default_rng(6)
    numbers, fold_of_row = np.arange(600.0), draw.integers(0, 5, 600)
    department = np.arange(600) // 200
    targets = draw.random((600, 3)) < np.where(department[:, None] == np.arange(3), 0.9, 0.1)
    constant = best_constant_prediction_f1(targets)
    assert nested_scores(numbers, targets, fold_of_row).min() > constant + 0.2
    assert nested_scores(numbers, targets[draw.permutation(600)], fold_of_row).max() < constant + 0.02


def test_opinions_of_unlabelled_neighbours_count():
    draw = np.random.default_rng(7)
    labelled, unlabelled = np.array([0.0, 2.0, 4.0]), np.array([1.0, 3.0, np.nan])
    oof, predictions = (draw.random((2, 3, 2)).astype(np.float32) for _ in range(2))
    found = neighbour_opinions(labelled, labelled, unlabelled, oof, predictions, [1, 3])
    pool, places = np.concatenate([oof, predictions], axis=1).mean(axis=0), np.append(labelled, unlabelled)
    known = ~np.isnan(places)
    for index, width in enumerate([1, 3]):
        expected = kernel_rates(labelled, places[known], pool[known], [width])[0]
        overall = (pool.mean(axis=0) - pool[known].mean(axis=0)) * 0.1
        for row, number in enumerate(labelled):
            away = np.abs(places[known] - number)
            weight = np.exp(-away / width)[away > 0].sum() + 0.1
            np.testing.assert_allclose(found[index, row], expected[row] + overall / weight, atol=1e-6)
    without_self = neighbour_opinions(labelled, labelled, unlabelled, np.flip(oof, 0), predictions, [1])
    np.testing.assert_allclose(without_self, found[:1], atol=1e-6)
