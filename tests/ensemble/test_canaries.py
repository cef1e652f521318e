"""Canaries of the decision layer: permuted labels teach no path anything, and each planted leak is caught.

Two guards: labels dealt to other rows must leave a path at chance, and turning over the labels of one fold must not
move a decision of that fold. A teacher that saw the fold has its canary beside its stage.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from bootstrap import macro_f1_interval
from neighbours import neighbourhood_of
from polydx.ensemble.calibration import cross_fitted, fit_calibration
from polydx.ensemble.candidates import Candidate, Inputs, single
from polydx.ensemble.fusions import FUSIONS, fusion_candidates
from polydx.ensemble.neighbourhood import Neighbourhood
from polydx.ensemble.record_features import no_features
from polydx.ensemble.selection import judge_candidate
from polydx.ensemble.stack_candidates import RecordContext, stacked
from polydx.ensemble.stacking import StackerRecipe
from polydx.ensemble.thresholds import DecisionRule
from polydx.ensemble.weights import fit_label_weights
from polydx.errors import UserError
from polydx.judge.folds import make_folds, refuse_parted_duplicates
from polydx.judge.metrics import best_constant_prediction_f1, macro_f1
from polydx.judge.nested import NOTHING_HIDDEN, NestedFolds
from polydx.names import ThresholdMethod

RECIPE = StackerRecipe(
    trees=5,
    learning_rate=0.1,
    leaves=4,
    min_leaf_rows=10,
    frequent_positives=40,
    threads=1,
    seed=0,
    early_stopping=1,
)
FOLDS, ROWS, LABELS = 4, 320, 6
FITTED = [name for name in FUSIONS if name not in {"mean", "geometric", "log_odds", "rank"}]
"""Fusions that fit something."""


@pytest.fixture(autouse=True)
def few_picks(monkeypatch):
    """What leaks with two bags of three picks leaks with more, and takes a tenth of the time to show it."""
    monkeypatch.setattr("polydx.ensemble.weights._PICKS", 3)
    monkeypatch.setattr("polydx.ensemble.weight_candidates._BAGS", 2)


def inputs_of(targets, seed=0, test_rows=20):
    """Three members of different worth that bend their probabilities differently."""
    draw = np.random.default_rng(seed)
    noise = np.array([0.5, 0.6, 1.2])[:, None, None] * draw.normal(size=(3, *targets.shape))
    opinions = np.clip(0.4 + (targets - 0.5) * 0.5 + noise, 0, 1) ** np.array([1, 3, 0.5])[:, None, None]
    opinions = opinions.astype(np.float32)
    return Inputs(("a", "b", "c"), opinions, opinions[:, None, :test_rows], targets, np.arange(len(targets)) % FOLDS)


def random_targets(seed=5, rows=ROWS):
    return np.random.default_rng(seed).random((rows, LABELS)) < np.linspace(0.3, 0.05, LABELS)


def fusions(inputs, method="platt"):
    return fusion_candidates(FUSIONS, inputs, context_of(inputs), RECIPE, prior=5.0, calibration=method)


def context_of(inputs, neighbourhood=None):
    near = neighbourhood or neighbourhood_of(inputs)
    return RecordContext(no_features(len(near.oof_numbers)), no_features(len(near.test_numbers)), near)


def rule_of(method: ThresholdMethod = "shrunk"):
    return DecisionRule(5.0, 0, LABELS, method)


def decisions(inputs, candidate: Candidate, rule):
    return NestedFolds(inputs.targets, inputs.fold_of_row, rule).decisions(candidate.held_out)


def better_than_chance(decided, targets):
    low, _ = macro_f1_interval(decided, targets, samples=200, seed=0)
    return low > best_constant_prediction_f1(targets)


def moved_folds(inputs, decide: Callable):
    """Folds whose decisions move with their own labels: a path without a leak has none."""
    before = decide(inputs)
    moved = []
    for fold in range(FOLDS):
        rows = inputs.fold_of_row == fold
        after = decide(dataclasses.replace(inputs, targets=inputs.targets ^ rows[:, None]))
        if (before[rows] != after[rows]).any():
            moved.append(fold)
    return moved


# No path leaks


@pytest.mark.parametrize("name", [name for name in FUSIONS if name != "lightgbm"])
def test_permuted_labels_teach_no_fusion(name):
    targets = random_targets()
    inputs = inputs_of(targets)
    decided = decisions(inputs, fusions(inputs)[name], rule_of())
    assert better_than_chance(decided, targets)  # the guard sees what there is to see
    permuted = targets[np.random.default_rng(8).permutation(len(targets))]
    inputs = dataclasses.replace(inputs, targets=permuted)
    assert not better_than_chance(decisions(inputs, fusions(inputs)[name], rule_of()), permuted)


@pytest.mark.parametrize("method", ["shrunk", "pooled", "half_f1"])
def test_permuted_labels_teach_no_threshold(method):
    targets = random_targets()
    inputs = inputs_of(targets)
    assert better_than_chance(decisions(inputs, single(inputs, 0), rule_of(method)), targets)
    permuted = targets[np.random.default_rng(8).permutation(len(targets))]
    inputs = dataclasses.replace(inputs, targets=permuted)
    assert not better_than_chance(decisions(inputs, single(inputs, 0), rule_of(method)), permuted)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_permuted_labels_teach_no_calibration(method):
    targets = random_targets()
    inputs = inputs_of(targets)
    permuted = targets[np.random.default_rng(8).permutation(len(targets))]
    calibrated = cross_fitted(inputs.oof[0], permuted, inputs.fold_of_row, method, 5.0)
    inputs = dataclasses.replace(inputs, oof=calibrated[None], targets=permuted)
    assert not better_than_chance(decisions(inputs, single(inputs, 0), rule_of()), permuted)


@pytest.mark.parametrize("name", FITTED)
def test_no_decision_of_a_fold_moves_with_its_labels(name):
    inputs = inputs_of(random_targets(rows=160))
    assert not moved_folds(inputs, lambda inputs: decisions(inputs, fusions(inputs, "isotonic")[name], rule_of()))


@pytest.mark.parametrize("method", ["shrunk", "pooled", "half_f1"])
def test_no_decision_of_a_fold_moves_with_its_labels_by_thresholds(method):
    inputs = inputs_of(random_targets(rows=160))
    assert not moved_folds(inputs, lambda inputs: decisions(inputs, single(inputs, 0), rule_of(method)))


# Planted leaks are caught


def with_thresholds_of_the_scored_rows(inputs):
    judgement = judge_candidate(
        single(inputs, 0), NestedFolds(inputs.targets, inputs.fold_of_row, rule_of()), rule_of()
    )
    return judgement.flattered


def with_a_calibrator_of_the_scored_rows(inputs):
    maps = fit_calibration(inputs.oof[0], inputs.targets, "isotonic", 0.0)
    leaked = Candidate(lambda _hidden: maps.apply(inputs.oof[0]), lambda: inputs.test[0])
    return decisions(inputs, leaked, rule_of())


def with_weights_of_the_scored_rows(inputs):
    weights = fit_label_weights(inputs.oof, inputs.targets, np.full(3, 1 / 3), 0.0)
    fused = np.einsum("mrl,ml->rl", inputs.oof, weights).astype(np.float32)
    return decisions(inputs, Candidate(lambda _hidden: fused, lambda: inputs.test[0]), rule_of())


def with_a_fusion_that_forgets_what_is_hidden(inputs):
    candidate = fusions(inputs)["calibrated"]
    return decisions(inputs, Candidate(lambda _hidden: candidate.held_out(NOTHING_HIDDEN), candidate.test), rule_of())


LEAKS = [
    with_thresholds_of_the_scored_rows,
    with_a_calibrator_of_the_scored_rows,
    with_weights_of_the_scored_rows,
    with_a_fusion_that_forgets_what_is_hidden,
]


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.__name__)
def test_a_planted_leak_moves_a_folds_decisions_with_its_own_labels(leak):
    assert moved_folds(inputs_of(random_targets(rows=160)), leak)


def wavering(rows=150, labels=40, seed=2):
    """Noise for probabilities, and many rare labels: what is fitted on the scored rows finds something in it."""
    draw = np.random.default_rng(seed)
    targets = draw.random((rows, labels)) < 0.06
    noise = draw.random((3, rows, labels)).astype(np.float32)
    return Inputs(("a", "b", "c"), noise, noise[:, None, :20], targets, np.arange(rows) % FOLDS)


@pytest.mark.parametrize("leak", ["thresholds", "calibrator"])
def test_a_planted_leak_scores_above_chance_on_noise_and_nesting_does_not(leak):
    inputs = wavering()
    rule = DecisionRule(0.0, 0, inputs.targets.shape[1], "shrunk")
    judgement = judge_candidate(single(inputs, 0), NestedFolds(inputs.targets, inputs.fold_of_row, rule), rule)
    leaked = judgement.flattered
    if leak == "calibrator":
        calibrated = fit_calibration(inputs.oof[0], inputs.targets, "isotonic", 0.0).apply(inputs.oof[0])
        leaked = decisions(inputs, Candidate(lambda _hidden: calibrated, lambda: inputs.test[0]), rule)
    assert better_than_chance(leaked, inputs.targets)
    assert not better_than_chance(judgement.decided, inputs.targets)
    assert macro_f1(leaked, inputs.targets) > macro_f1(judgement.decided, inputs.targets) + 0.02


def copies_in_folds(apart):
    """Records of nothing but chance, each there twice, and a member that knows a record by its copy."""
    targets = np.tile(random_targets(rows=ROWS // 2), (2, 1))
    copies = np.tile(np.arange(ROWS // 2), 2)
    folds = make_folds(
        [f"r{row}" for row in range(ROWS)],
        targets.astype(np.float32),
        np.arange(ROWS) if apart else copies,
        scheme="plain",
        folds=FOLDS,
        repeats=1,
        holdout_share=0.2,
        seed=0,
    )
    opinions = np.empty((1, *targets.shape), dtype=np.float32)
    for job in range(FOLDS):
        learnt = folds.training(job)
        for row in np.flatnonzero(folds.validation(job)):
            known = targets[learnt & (copies == copies[row])]
            opinions[0, row] = known[0] if len(known) else targets[learnt].mean(axis=0)
    return Inputs(("copyist",), opinions, opinions[:, None, :20], targets, folds.fold_of_row(0)), folds, copies


def test_a_duplicate_across_folds_scores_above_chance_and_is_refused():
    inputs, folds, copies = copies_in_folds(apart=True)
    assert better_than_chance(decisions(inputs, single(inputs, 0), rule_of()), inputs.targets)
    with pytest.raises(UserError, match=r"folds\.parquet: the records r\d+ and r\d+ are near copies"):
        refuse_parted_duplicates(folds, copies, "folds.parquet")
    inputs, folds, copies = copies_in_folds(apart=False)
    assert not better_than_chance(decisions(inputs, single(inputs, 0), rule_of()), inputs.targets)
    refuse_parted_duplicates(folds, copies, "folds.parquet")


def test_opinions_of_other_folds_do_not_reach_a_row():
    """Models of other folds learnt from the row's label: what they say of its neighbours would give it away."""
    draw = np.random.default_rng(9)
    inputs = inputs_of(random_targets(rows=12), test_rows=6)
    inputs = dataclasses.replace(inputs, test=draw.random((3, FOLDS, 6, LABELS)).astype(np.float32))
    numbers, test_numbers = draw.permutation(18)[:12].astype(float), np.arange(6) * 3.0 + 0.5
    near = neighbourhood_of(inputs, numbers, test_numbers, (2,))
    found = near.opinions()
    for row in range(12):
        fold = inputs.fold_of_row[row]
        own = (inputs.fold_of_row == fold) & (numbers != numbers[row])
        places = np.concatenate([numbers[own], test_numbers])
        said = np.concatenate([inputs.oof[:, own].mean(axis=0), inputs.test[:, fold].mean(axis=0)])
        weights = np.exp(-np.abs(places - numbers[row]) / 2)
        everything = inputs.oof[:, inputs.fold_of_row == fold].mean(axis=0), inputs.test[:, fold].mean(axis=0)
        overall = np.concatenate(everything).mean(axis=0)
        expected = (weights @ said + 0.1 * overall) / (weights.sum() + 0.1)
        np.testing.assert_allclose(found[0, row], expected, rtol=1e-5)
    inputs.oof[:, inputs.fold_of_row != 0] = draw.random((3, 9, LABELS))
    mine = inputs.fold_of_row == 0
    np.testing.assert_array_equal(near.opinions()[:, mine], found[:, mine])


def gossips(repeats=1, folds=3, rows=240, seed=3):
    """Records of nothing but chance, a test record beside each, and a member that learns its rows by heart.

    It says the labels of a row that it learnt from of that row and of the test record beside it; of others the rates.

    Returns:
        What it says, on outer folds that are not its own, and the neighbourhood.
    """
    draw = np.random.default_rng(seed)
    targets = random_targets(seed, rows)
    dealt = make_folds(
        ["" for _ in targets],
        targets.astype(np.float32),
        np.arange(rows),
        scheme="repeated",
        folds=folds,
        repeats=repeats,
        holdout_share=0.2,
        seed=seed,
    )
    by_heart = [np.where(dealt.training(job)[:, None], targets, 0.1).astype(np.float32) for job in range(dealt.jobs)]
    validation = [said[dealt.validation(job)] for job, said in enumerate(by_heart)]
    first = dealt.first_repeat()
    oof, once = dealt.out_of_fold(validation)[None], first.out_of_fold(validation[:folds])[None]
    numbers, outer = draw.permutation(rows) * 10.0, draw.permutation(rows) % FOLDS
    test, test_once = dealt.of_other_rows(by_heart)[None], first.of_other_rows(by_heart[:folds])[None]
    inputs = Inputs(("gossip",), oof, test, targets, outer)
    return inputs, Neighbourhood(numbers, numbers + 1, (1,), dealt.fold_of_row(0), once, test_once)


def stacked_by_numbers(inputs, near):
    return decisions(inputs, stacked(inputs, context_of(inputs, near), RECIPE), rule_of())


@pytest.mark.parametrize("repeats", [1, 2])
def test_a_neighbour_by_a_model_that_learnt_the_row_scores_above_chance_and_that_of_its_own_fold_does_not(repeats):
    """Outer folds are not the members' where those are few; and what is averaged over repeats has learnt every row."""
    inputs, near = gossips(repeats)
    assert not better_than_chance(stacked_by_numbers(inputs, near), inputs.targets)
    leaks = [dataclasses.replace(near, fold_of_row=inputs.fold_of_row % near.test.shape[1])]
    if repeats > 1:
        leaks += [dataclasses.replace(near, oof=inputs.oof, test=inputs.test)]
    for leaking in leaks:
        assert better_than_chance(stacked_by_numbers(inputs, leaking), inputs.targets)
