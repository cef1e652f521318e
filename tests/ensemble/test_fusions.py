"""Every fusion candidate against what it should be, written plainly, with one fold hidden."""

from collections import Counter
from typing import get_args

import numpy as np
import pytest

from neighbours import neighbourhood_of
from polydx.ensemble.candidates import Inputs
from polydx.ensemble.combination import fit_combination
from polydx.ensemble.fusions import fusion_candidates
from polydx.ensemble.record_features import no_features
from polydx.ensemble.selection import judge_candidate
from polydx.ensemble.stack_candidates import RecordContext
from polydx.ensemble.stacking import StackerRecipe
from polydx.ensemble.thresholds import DecisionRule, shrunk_thresholds
from polydx.ensemble.weights import fit_label_weights, fit_weights, weights_by_rank
from polydx.judge.metrics import macro_f1
from polydx.judge.nested import NestedFolds
from polydx.names import ThresholdMethod

ROWS, TEST_ROWS, LABELS, FOLDS, JOBS, PRIOR = 200, 12, 4, 4, 2, 5.0
RECIPE = StackerRecipe(trees=5, learning_rate=0.1, leaves=4, min_leaf_rows=10, frequent_positives=40, threads=1, seed=3)
HIDDEN = frozenset({1})


@pytest.fixture(autouse=True)
def few_picks(monkeypatch):
    monkeypatch.setattr("polydx.ensemble.weights._PICKS", 4)


@pytest.fixture(scope="module")
def inputs():
    """Four members of different worth; the test rows are new."""
    draw = np.random.default_rng(0)
    targets = draw.random((ROWS, LABELS)) < [0.4, 0.3, 0.2, 0.1]
    noise = np.array([0.2, 0.3, 0.4, 0.8])[:, None, None]
    oof = np.clip(0.45 + 0.4 * (targets - 0.5) + noise * draw.normal(size=(4, ROWS, LABELS)), 0.01, 0.99)
    test = draw.uniform(0.01, 0.99, (4, JOBS, TEST_ROWS, LABELS))
    folds = np.arange(ROWS) % FOLDS
    return Inputs(("a", "b", "c", "d"), oof.astype(np.float32), test.astype(np.float32), targets, folds)


def candidate(name, inputs):
    context = RecordContext(no_features(ROWS), no_features(TEST_ROWS), neighbourhood_of(inputs))
    return fusion_candidates([name], inputs, context, RECIPE, prior=PRIOR, calibration="platt")[name]


def assert_answers(found, expected, asked):
    """Of rows that a fit isn't asked about, all but those of the hidden folds, it may say anything."""
    np.testing.assert_allclose(found[asked], expected[asked], atol=1e-6)


def assert_is(found, fuse, inputs):
    """The candidate says what `fuse(rows that may be seen, members to fuse)` says, of hidden and of test rows."""
    seen, everything = inputs.fold_of_row != 1, np.ones(ROWS, dtype=bool)
    assert_answers(found.held_out(HIDDEN), fuse(seen, inputs.oof), ~seen)
    np.testing.assert_allclose(found.held_out(frozenset()), fuse(everything, inputs.oof), atol=1e-6)
    for job in range(JOBS):
        np.testing.assert_allclose(found.test()[job], fuse(everything, inputs.test[:, job]), atol=1e-6)


def test_log_odds(inputs):
    def fuse(_seen, members):
        odds = np.log(members.astype(np.float64) / (1 - members)).mean(axis=0)
        return 1 / (1 + np.exp(-odds))

    assert_is(candidate("log_odds", inputs), fuse, inputs)


def test_power(inputs):
    def power(members, exponent):
        return (members.astype(np.float64) ** exponent).mean(axis=0) ** (1 / exponent)

    def fuse(seen, members):
        truth, scores = inputs.targets[seen], []
        for exponent in (0.5, 2.0, 4.0):
            fused = power(inputs.oof[:, seen], exponent).astype(np.float32)
            scores.append(macro_f1(fused >= shrunk_thresholds(fused, truth, PRIOR), truth))
        return power(members, (0.5, 2.0, 4.0)[int(np.argmax(scores))])

    assert_is(candidate("power", inputs), fuse, inputs)


def test_bagged(inputs):
    draw, seen = np.random.default_rng(RECIPE.seed), inputs.fold_of_row != 1
    oof, truth = inputs.oof[:, seen], inputs.targets[seen]
    bags = [draw.integers(0, len(truth), len(truth)) for _ in range(5)]
    weights = np.mean([fit_weights(oof[:, bag], truth[bag], PRIOR) for bag in bags], axis=0)
    expected = np.einsum("m,mrl->rl", weights, inputs.oof)
    assert_answers(candidate("bagged", inputs).held_out(HIDDEN), expected, ~seen)


def test_blended_looks_at_one_fold_that_may_be_seen(inputs):
    def fuse(seen, members):
        held_out = seen & (inputs.fold_of_row == 0)
        weights = fit_weights(inputs.oof[:, held_out], inputs.targets[held_out], PRIOR)
        return sum(weight * member.astype(np.float64) for weight, member in zip(weights, members, strict=True))

    assert_is(candidate("blended", inputs), fuse, inputs)
    next_fold = inputs.fold_of_row == 1
    weights = fit_weights(inputs.oof[:, next_fold], inputs.targets[next_fold], PRIOR)
    expected = np.einsum("m,mrl->rl", weights, inputs.oof)
    found = candidate("blended", inputs).held_out(frozenset({0}))
    assert_answers(found, expected, inputs.fold_of_row == 0)


def own_cuts(inputs, seen):
    return [shrunk_thresholds(member[seen], inputs.targets[seen], PRIOR) for member in inputs.oof]


def test_weighted_vote(inputs):
    def fuse(seen, members):
        cuts = own_cuts(inputs, seen)
        decided = [member[seen] >= cut for member, cut in zip(inputs.oof, cuts, strict=True)]
        weights = weights_by_rank([macro_f1(rows, inputs.targets[seen]) for rows in decided])
        assert sorted(weights.round(6)) == [0, *np.round([1 / 6, 2 / 6, 3 / 6], 6)]
        votes = zip(weights, members, cuts, strict=True)
        return sum(weight * (member >= cut) for weight, member, cut in votes)

    assert_is(candidate("weighted_vote", inputs), fuse, inputs)


def assert_settles_as(found, fuse, inputs):
    """As `assert_is`, but of the test rows the fold models' answers are voted on in turn; a tie is a no."""
    seen, everything = inputs.fold_of_row != 1, np.ones(ROWS, dtype=bool)
    assert_answers(found.held_out(HIDDEN), np.asarray(fuse(seen, inputs.oof), dtype=np.float32), ~seen)
    votes = sum(np.asarray(fuse(everything, inputs.test[:, job]), dtype=int) for job in range(JOBS))
    np.testing.assert_array_equal(found.test(), (votes > JOBS / 2)[None])


def test_majority(inputs):
    def fuse(seen, members):
        return sum((member >= cut).astype(int) for member, cut in zip(members, own_cuts(inputs, seen), strict=True)) > 2

    assert_settles_as(candidate("majority", inputs), fuse, inputs)


def test_plurality(inputs):
    def fuse(seen, members):
        ballots = [member >= cut for member, cut in zip(members, own_cuts(inputs, seen), strict=True)]
        # A counter lists what came first among equals first.
        winners = [
            Counter(tuple(ballot[row]) for ballot in ballots).most_common(1)[0][0] for row in range(len(members[0]))
        ]
        return np.array(winners)

    assert_settles_as(candidate("plurality", inputs), fuse, inputs)


@pytest.mark.parametrize("name", ["majority", "plurality"])
def test_no_threshold_moves_a_settled_vote(inputs, name):
    """Half of the best F1 is no place in a mean of fold models' answers, 0, 1/2 or 1 here."""
    found = candidate(name, inputs)
    for method in get_args(ThresholdMethod):
        rule = DecisionRule(PRIOR, 0, LABELS, method)
        nested = NestedFolds(inputs.targets, inputs.fold_of_row, rule)
        followed = found.test()[0] == 1
        np.testing.assert_array_equal(judge_candidate(found, nested, rule).test_decided, followed)
        assert followed.any() and not followed.all()


def test_logistic(inputs):
    def fuse(seen, members):
        fused = np.empty(members.shape[1:])
        for label in range(LABELS):
            odds = np.log(inputs.oof[:, seen, label] / (1 - inputs.oof[:, seen, label])).T
            *weights, intercept = fit_combination(odds, inputs.targets[seen, label], 20.0)
            for row in range(len(fused)):
                opinions = [np.log(member[row, label] / (1 - member[row, label])) for member in members]
                fused[row, label] = 1 / (1 + np.exp(-np.dot(weights, opinions) - intercept))
        return fused

    assert_is(candidate("logistic", inputs), fuse, inputs)


def test_the_logistic_stacker_beats_the_mean_where_members_lie_differently():
    draw = np.random.default_rng(1)
    targets = draw.random((2000, 2)) < 0.3
    honest = np.clip(0.5 + 0.5 * (targets - 0.5) + 0.2 * draw.normal(size=targets.shape), 0.01, 0.99)
    opposite = 1 - np.clip(0.5 + 0.5 * (targets - 0.5) + 0.2 * draw.normal(size=targets.shape), 0.01, 0.99)
    oof = np.stack([honest, opposite]).astype(np.float32)
    folds = np.arange(2000) % FOLDS
    two = Inputs(("honest", "liar"), oof, oof[:, None, :10], targets, folds)
    context = RecordContext(no_features(2000), no_features(10), neighbourhood_of(two))
    made = fusion_candidates(["mean", "logistic"], two, context, RECIPE, prior=PRIOR, calibration="platt")
    hidden = folds == 1
    scores = {name: macro_f1(found.held_out(HIDDEN)[hidden] >= 0.5, targets[hidden]) for name, found in made.items()}
    assert scores["logistic"] > 0.9 > scores["mean"] + 0.2


def test_weights_are_those_of_the_fit_on_all_rows(inputs):
    common = fit_weights(inputs.oof, inputs.targets, PRIOR)
    each = fit_label_weights(inputs.oof, inputs.targets, common, PRIOR)
    for name, expected in (("weighted", common), ("label_weighted", each.mean(axis=1))):
        found = candidate(name, inputs).weights()
        assert list(found) == list("abcd")
        np.testing.assert_allclose(list(found.values()), expected)
    by_rank = candidate("weighted_vote", inputs).weights()
    np.testing.assert_allclose(sorted(by_rank.values()), [0, 1 / 6, 2 / 6, 3 / 6])
    assert candidate("mean", inputs).weights() == candidate("vote", inputs).weights() == {}
