import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from polydx.ensemble.thresholds import (
    NOTHING_KNOWN,
    DecisionRule,
    decide,
    f1_threshold,
    f1_thresholds,
    pooled_threshold,
    shrunk_thresholds,
)
from polydx.judge.metrics import best_constant_prediction_f1, macro_f1

probability = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1, width=32))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(probability, st.booleans()), min_size=1, max_size=25))
@example([(0.0, True), (0.0, False)])
@example([(1.0, True), (0.9999999403953552, False)])
def test_the_threshold_is_as_good_as_an_exhaustive_search(pairs):
    scores = np.array([score for score, _ in pairs], dtype=np.float32)
    targets = np.array([target for _, target in pairs])
    found = f1_score(targets, scores >= f1_threshold(scores, targets), zero_division=0)
    best = max(2 * (targets & (scores >= cut)).sum() / ((scores >= cut).sum() + targets.sum()) for cut in scores)
    assert found == pytest.approx(best)


def test_the_threshold_lies_midway_between_the_scores_it_parts():
    scores, targets = np.array([0.9, 0.75, 0.25, 0.1], dtype=np.float32), np.array([True, True, False, False])
    assert f1_threshold(scores, targets) == 0.5


def test_of_equal_cuts_the_one_that_predicts_least_wins():
    scores, targets = np.array([0.8, 0.6, 0.5, 0.2], dtype=np.float32), np.array([True, False, False, True])
    assert f1_threshold(scores, targets) == pytest.approx(0.7)  # F1 is 2/3 for the first row alone, and for all four


def test_a_label_without_a_positive_gets_the_pooled_threshold():
    draw = np.random.default_rng(0)
    targets = draw.random((200, 3)) < [0.5, 0.3, 0.0]
    scores = np.clip(targets * 0.4 + draw.random((200, 3)) * 0.5, 0, 1).astype(np.float32)
    assert f1_thresholds(scores, targets)[2] == NOTHING_KNOWN
    assert shrunk_thresholds(scores, targets, 20.0)[2] == pytest.approx(pooled_threshold(scores, targets), abs=1e-6)
    assert shrunk_thresholds(scores, targets, 0.0)[2] == pytest.approx(pooled_threshold(scores, targets), abs=1e-6)


def test_shrinkage_goes_from_the_labels_own_threshold_to_the_pooled_one():
    draw = np.random.default_rng(0)
    targets = draw.random((400, 4)) < [0.4, 0.3, 0.2, 0.02]
    scores = (draw.random((400, 4)) * (0.4 + 0.6 * targets) * [1, 1, 1, 0.2]).astype(np.float32)
    own, pooled = f1_thresholds(scores, targets), pooled_threshold(scores, targets)
    np.testing.assert_array_equal(shrunk_thresholds(scores, targets, 0.0), own)
    np.testing.assert_allclose(shrunk_thresholds(scores, targets, 1e9), pooled, rtol=1e-3)
    frequent, rare = (shrunk_thresholds(scores, targets, 20.0) / own)[[0, 3]]
    assert abs(np.log(frequent)) < 0.1 < 1 < np.log(rare)


def test_shrinkage_keeps_an_unknown_rare_label_from_flooding():
    draw = np.random.default_rng(3)
    targets = draw.random((2000, 12)) < [0.2] * 8 + [0.004] * 4
    scores = draw.random((2000, 12)) * 0.5 + 0.5 * (targets & (draw.random((2000, 12)) < 0.8))
    scores[:, 8:] = 0.02 + 0.01 * draw.random((2000, 4))  # the model knows nothing of the rare labels
    scores = scores.astype(np.float32)
    raw = decide(scores, f1_thresholds(scores, targets), 0, 12)[:, 8:].mean()
    shrunk = decide(scores, shrunk_thresholds(scores, targets, 20.0), 0, 12)[:, 8:].mean()
    assert raw > 0.1 > 10 * shrunk


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 3), st.integers(1, 6))
def test_decisions_against_a_plain_loop(seed, fewest, most):
    most = max(most, fewest, 1)
    draw = np.random.default_rng(seed)
    scores, thresholds = draw.random((20, 6)).astype(np.float32), draw.uniform(0.1, 1.2, 6)
    found = decide(scores, thresholds, fewest, most)
    for row in range(20):
        order = sorted(range(6), key=lambda label: (-(scores[row, label] / thresholds[label]), label))
        wanted = {label for label in range(6) if scores[row, label] >= thresholds[label]} | set(order[:fewest])
        assert set(np.flatnonzero(found[row])) == wanted & set(order[:most])


def test_more_labels_wanted_than_there_are():
    assert decide(np.zeros((2, 3), dtype=np.float32), np.full(3, 0.5), 5, 9).all()


def test_probabilities_outside_their_range_are_refused():
    for wrong in (np.nan, -0.1, 1.5):
        with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
            f1_threshold(np.array([0.5, wrong], dtype=np.float32), np.array([True, False]))


def test_thresholds_fitted_on_the_scored_rows_flatter_and_cross_fitting_shows_it():
    draw = np.random.default_rng(1)
    targets, scores = draw.random((300, 30)) < 0.05, draw.random((300, 30)).astype(np.float32)
    rule, half = DecisionRule(0.0, 0, 30), np.arange(300) < 150
    leaked = macro_f1(rule(scores, targets, scores), targets)
    honest = np.empty_like(targets)
    honest[half] = rule(scores[~half], targets[~half], scores[half])
    honest[~half] = rule(scores[half], targets[half], scores[~half])
    chance = best_constant_prediction_f1(targets)
    assert leaked > chance + 0.02
    assert macro_f1(honest, targets) < chance + 0.01


def test_many_rows_take_little_time():
    draw = np.random.default_rng(0)
    scores = draw.random((200_000, 20), dtype=np.float32)
    targets = draw.random((200_000, 20)) < 0.05
    started = time.process_time()
    f1_thresholds(scores, targets)
    assert time.process_time() - started < 3
