import time
import tracemalloc
from typing import get_args

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_recall_curve

from polydx.ensemble.cuts import NOTHING_KNOWN, best_cuts, best_pooled_cut
from polydx.ensemble.odds import logit
from polydx.ensemble.odds import probability as odds_probability
from polydx.ensemble.thresholds import (
    DecisionRule,
    decide,
    f1_thresholds,
    half_f1_thresholds,
    pooled_threshold,
    shrunk_thresholds,
)
from polydx.judge.metrics import best_constant_prediction_f1, label_scores, macro_f1
from polydx.names import ThresholdMethod

METHODS = get_args(ThresholdMethod)


def f1_threshold(scores, targets):
    return f1_thresholds(scores[:, None], targets[:, None])[0]


probability = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1, width=32))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(probability, st.booleans()), min_size=1, max_size=25))
@example([(0.0, True), (0.0, False)])
@example([(1.0, True), (0.9999999403953552, False)])
@example([(0.9999999403953552, True), (0.9999998807907104, False)])
@example([(0.0, False), (1.401298464324817e-45, True)])
def test_the_threshold_is_as_good_as_an_exhaustive_search(pairs):
    scores = np.array([score for score, _ in pairs], dtype=np.float32)
    targets = np.array([target for _, target in pairs])
    found = f1_score(targets, scores >= f1_threshold(scores, targets), zero_division=0)
    best = max(2 * (targets & (scores >= cut)).sum() / ((scores >= cut).sum() + targets.sum()) for cut in scores)
    assert found == pytest.approx(best)


@st.composite
def tables(draw):
    """Scores with many ties and labels of every frequency, of more labels than one block holds."""
    generator = np.random.default_rng(draw(st.integers(0, 2**31)))
    rows, labels, steps = draw(st.integers(1, 60)), draw(st.integers(1, 20)), draw(st.sampled_from([2, 7, 1000]))
    scores = (generator.integers(0, steps + 1, (rows, labels)) / steps).astype(np.float32)
    return scores, generator.random((rows, labels)) < generator.choice([0.0, 0.1, 0.5, 1.0], labels)


@settings(max_examples=40, deadline=None)
@given(tables(), st.integers(1, 3))
def test_every_label_has_scikit_learns_best_f1(table, threads):
    scores, targets = table
    cuts = best_cuts(scores, targets, threads=threads)
    for label in range(scores.shape[1]):
        if not targets[:, label].any():
            assert (cuts.thresholds[label], cuts.f1[label]) == (NOTHING_KNOWN, 0)
            continue
        precision, recall, _ = precision_recall_curve(targets[:, label], scores[:, label])
        best = (2 * precision * recall / np.maximum(precision + recall, 1e-12)).max()
        decided = scores[:, label] >= cuts.thresholds[label]
        assert cuts.f1[label] == pytest.approx(best)
        assert f1_score(targets[:, label], decided) == pytest.approx(best)


@settings(max_examples=60, deadline=None)
@given(tables(), st.booleans(), st.integers(1, 2))
def test_the_pooled_cut_is_that_of_one_long_column(table, near, threads):
    scores, targets = table
    scores = 0.4 + 1e-5 * scores if near else scores  # all in one coarse bucket, or far apart
    long = best_cuts(scores.reshape(-1, 1), targets.reshape(-1, 1))
    found = best_pooled_cut(scores, targets, threads=threads)
    assert found == (long.thresholds[0], long.f1[0])


def test_the_pooled_cut_of_many_pairs_and_of_faulty_ones(monkeypatch):
    draw = np.random.default_rng(0)
    targets = draw.random((3000, 20)) < np.linspace(0.4, 0.01, 20)
    scores = draw.random((3000, 20), dtype=np.float32) ** np.where(targets, np.float32(0.4), np.float32(2))
    long = best_cuts(scores.reshape(-1, 1), targets.reshape(-1, 1))
    monkeypatch.setattr("polydx.ensemble.cuts._CHUNK_CELLS", 10_000)
    assert best_pooled_cut(scores, targets, threads=2) == (long.thresholds[0], long.f1[0])
    scores[2999, 3] = np.nan
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        best_pooled_cut(scores, targets)
    with pytest.raises(ValueError, match="shape"):
        best_pooled_cut(scores, targets[:, :3])


def test_the_users_scores_and_order_in_memory_do_not_matter():
    draw = np.random.default_rng(0)
    scores, targets = draw.random((500, 33), dtype=np.float32), draw.random((500, 33)) < 0.1
    scores[:, 0] = -0.0
    kept = scores.copy()
    expected = best_cuts(scores, targets).thresholds
    assert scores.tobytes() == kept.tobytes()
    np.testing.assert_array_equal(best_cuts(np.asfortranarray(scores), targets, threads=2).thresholds, expected)
    one_by_one = [f1_threshold(scores[:, label], targets[:, label]) for label in range(33)]
    np.testing.assert_array_equal(one_by_one, expected)


def test_tables_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="shape"):
        best_cuts(np.zeros((3, 2), dtype=np.float32), np.zeros((2, 2), dtype=bool))


def calibrated_problem(rows=20_000, seed=0):
    """Probabilities that mean what they say, of three labels, and labels drawn by them."""
    draw = np.random.default_rng(seed)
    probabilities = draw.beta([0.5, 0.3, 0.2], [1, 2, 4], (rows, 3)).astype(np.float32)
    return probabilities, draw.random((rows, 3)) < probabilities


def test_half_the_best_f1_is_the_best_threshold_of_calibrated_probabilities():
    """Lipton 2014, and the same after the probabilities have been bent."""
    probabilities, targets = calibrated_problem()
    fresh, fresh_targets = calibrated_problem(seed=1)
    cuts = best_cuts(probabilities, targets)
    found = half_f1_thresholds(probabilities, targets, 0.0)
    np.testing.assert_allclose(found, cuts.f1 / 2, atol=0.02)
    half, searched = (label_scores(fresh >= cut, fresh_targets).f1 for cut in (found, cuts.thresholds))
    assert (half > searched - 0.01).all()
    bent = odds_probability(0.5 * logit(probabilities) - 1)
    decided = bent >= half_f1_thresholds(bent, targets, 0.0)
    assert (decided != (probabilities >= found)).mean() < 0.001


def test_half_f1_is_safe_for_labels_without_a_positive():
    probabilities, targets = calibrated_problem(500)
    targets[:, 2] = False
    pooled = best_cuts(probabilities.reshape(-1, 1), targets.reshape(-1, 1)).f1[0] / 2
    assert half_f1_thresholds(probabilities, targets, 20.0)[2] == pytest.approx(pooled, abs=1e-5)


def test_a_rule_fits_as_its_method_says():
    probabilities, targets = calibrated_problem(500)
    fitted = {method: DecisionRule(20.0, 0, 3, method).fit(probabilities, targets) for method in METHODS}
    assert len(fitted) == 3
    np.testing.assert_array_equal(fitted["shrunk"], shrunk_thresholds(probabilities, targets, 20.0))
    np.testing.assert_array_equal(fitted["pooled"], np.full(3, pooled_threshold(probabilities, targets)))
    np.testing.assert_array_equal(fitted["half_f1"], half_f1_thresholds(probabilities, targets, 20.0))


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
    decided_as_by_a_plain_loop(seed, fewest, most)


def test_decisions_block_by_block(monkeypatch):
    monkeypatch.setattr("polydx.ensemble.thresholds._BLOCK_CELLS", 3 * 6)
    for seed in range(5):
        decided_as_by_a_plain_loop(seed, 2, 3)


def decided_as_by_a_plain_loop(seed, fewest, most):
    most = max(most, fewest, 1)
    draw = np.random.default_rng(seed)
    scores, thresholds = draw.random((20, 6)).astype(np.float32), draw.uniform(0.1, 1.2, 6)
    found = decide(scores, thresholds, fewest, most)
    for row in range(20):
        order = sorted(range(6), key=lambda label: (-(scores[row, label] / thresholds[label]), label))
        wanted = {label for label in range(6) if scores[row, label] >= thresholds[label]} | set(order[:fewest])
        assert set(np.flatnonzero(found[row])) == wanted & set(order[:most])


def test_of_equal_labels_the_first_is_named():
    equal = np.array([[0.1, 0.2, 0.1, 0.2]], dtype=np.float32)
    assert decide(equal, np.full(4, 0.5), 1, 4).tolist() == [[False, True, False, False]]
    assert decide(equal, np.full(4, 0.5), 2, 4).tolist() == [[False, True, False, True]]


def test_a_label_for_each_record_takes_little_time_and_memory():
    probabilities = np.random.default_rng(0).random((20_000, 500), dtype=np.float32) / 2
    tracemalloc.start()
    started = time.process_time()
    decided = decide(probabilities, np.full(500, 0.6), 1, 9)
    seconds, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(np.flatnonzero(decided.ravel()) % 500, probabilities.argmax(axis=1))
    assert seconds < 1 and peak < 3 * probabilities.size


def test_a_label_of_threshold_zero_is_not_pushed_out_by_one_below_its_threshold():
    assert decide(np.array([[0.2, 0.0]], dtype=np.float32), np.array([0.4, 0.0]), 0, 1).tolist() == [[False, True]]


def test_more_labels_wanted_than_there_are():
    assert decide(np.zeros((2, 3), dtype=np.float32), np.full(3, 0.5), 5, 9).all()


def test_probabilities_outside_their_range_are_refused():
    for wrong in (np.nan, -0.1, 1.5):
        with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
            f1_threshold(np.array([0.5, wrong], dtype=np.float32), np.array([True, False]))


def test_thresholds_fitted_on_the_scored_rows_flatter_and_cross_fitting_shows_it():
    draw = np.random.default_rng(1)
    targets, scores = draw.random((300, 30)) < 0.05, draw.random((300, 30)).astype(np.float32)
    rule, half = DecisionRule(0.0, 0, 30, "shrunk"), np.arange(300) < 150
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
