import numpy as np
import pytest

from bootstrap import difference_interval, macro_f1_interval
from neighbours import neighbourhood_of
from polydx.ensemble.candidates import Inputs, single
from polydx.ensemble.fusion import arithmetic_mean
from polydx.ensemble.fusions import unfitted
from polydx.ensemble.ledger import make_ledger
from polydx.ensemble.record_features import RecordFeatures
from polydx.ensemble.selection import choose, judge_candidate
from polydx.ensemble.stack_candidates import RecordContext, stacked
from polydx.ensemble.stacking import StackerRecipe
from polydx.ensemble.thresholds import DecisionRule
from polydx.ensemble.weight_candidates import selected_weights, weighted
from polydx.judge.metrics import best_constant_prediction_f1, macro_f1
from polydx.judge.nested import NestedFolds

RECIPE = StackerRecipe(
    trees=10, learning_rate=0.1, leaves=4, min_leaf_rows=10, frequent_positives=40, threads=1, seed=0
)
RULE = DecisionRule(10.0, 0, 6, "shrunk")


def inputs_of(targets, seed=0, jobs=4, test_rows=50):
    """Three members of different worth, the same for the test rows, whose labels repeat the first rows'."""
    draw = np.random.default_rng(seed)

    def opinions(known, shape):
        noise = draw.normal(size=shape) * np.array([0.3, 0.4, 1.0])[:, *[None] * (len(shape) - 1)]
        return np.clip(0.4 + (known - 0.5) * 0.5 + noise, 0, 1).astype(np.float32)

    rows, labels = targets.shape
    test = opinions(targets[:test_rows], (3, jobs, test_rows, labels))
    return Inputs(("a", "b", "c"), opinions(targets, (3, rows, labels)), test, targets, np.arange(rows) % 4)


def context_of(inputs, widths=(1, 4)):
    rows, test_rows = len(inputs.targets), inputs.test.shape[2]
    draw = np.random.default_rng(3)
    features = [RecordFeatures(("age",), draw.random((n, 1)).astype(np.float32), ()) for n in (rows, test_rows)]
    numbers = draw.permutation(rows + test_rows).astype(float)
    return RecordContext(*features, neighbourhood_of(inputs, numbers[:rows], numbers[rows:], widths))


def judge(inputs, context):
    candidates = {name: single(inputs, index) for index, name in enumerate(inputs.names)} | {
        "mean": unfitted(inputs, arithmetic_mean),
        "weighted": weighted(inputs, selected_weights(inputs, 10.0)),
        "lightgbm": stacked(inputs, context, RECIPE),
    }
    nested = NestedFolds(inputs.targets, inputs.fold_of_row, RULE)
    judgements = {name: judge_candidate(candidate, nested, RULE) for name, candidate in candidates.items()}
    return judgements, choose(candidates, judgements, nested)


def random_targets(rows=400, labels=6, seed=5):
    return np.random.default_rng(seed).random((rows, labels)) < np.linspace(0.3, 0.05, labels)


def test_no_decision_of_a_fold_moves_with_that_folds_labels():
    """Not the fusion's, the thresholds', the neighbours', nor the choice's: the labels of fold 2 are turned over."""
    targets = random_targets(rows=240)
    inputs = inputs_of(targets)
    context, rows = context_of(inputs), inputs.fold_of_row == 2
    changed = Inputs(inputs.names, inputs.oof, inputs.test, targets ^ rows[:, None], inputs.fold_of_row)
    (before, choice), (after, other_choice) = judge(inputs, context), judge(changed, context)
    assert len(before) == 6
    for name in before:
        np.testing.assert_array_equal(before[name].decided[rows], after[name].decided[rows])
        assert (before[name].decided != after[name].decided).any()
    np.testing.assert_array_equal(choice.decided[rows], other_choice.decided[rows])
    assert choice.fold_scores[2] == other_choice.fold_scores[2] != choice.fold_scores[1]


def test_permuted_labels_leave_chance_on_every_path():
    targets = random_targets()
    inputs = inputs_of(targets)
    permuted = targets[np.random.default_rng(8).permutation(len(targets))]
    judgements, choice = judge(
        Inputs(inputs.names, inputs.oof, inputs.test, permuted, inputs.fold_of_row), context_of(inputs)
    )
    chance = best_constant_prediction_f1(permuted)
    for decided in [choice.decided, *(judgement.decided for judgement in judgements.values())]:
        low, _ = macro_f1_interval(decided, permuted, samples=300, seed=0)
        assert low <= chance


def test_fusion_beats_its_members_and_the_choice_finds_the_best():
    targets = random_targets(rows=800)
    inputs = inputs_of(targets)
    judgements, choice = judge(inputs, context_of(inputs))
    scores = {name: macro_f1(judgement.decided, targets) for name, judgement in judgements.items()}
    assert max(scores["weighted"], scores["lightgbm"]) > max(scores[name] for name in "abc") + 0.02
    assert choice.name in {"weighted", "lightgbm"}
    assert macro_f1(choice.decided, targets) > max(scores.values()) - 0.02
    assert list(choice.scores.values()) == sorted(choice.scores.values(), reverse=True)
    final = judgements[choice.name]
    assert macro_f1(final.test_decided, targets[:50]) > 0.5
    assert macro_f1(final.flattered, targets) >= macro_f1(final.decided, targets)


def test_thresholds_fitted_on_the_scored_rows_show_as_optimism():
    draw = np.random.default_rng(2)
    targets = draw.random((200, 20)) < 0.06
    noise = draw.random((1, 200, 20)).astype(np.float32)
    inputs = Inputs(("a",), noise, noise[:, None, :30], targets, np.arange(200) % 4)
    rule = DecisionRule(0.0, 0, 20, "shrunk")
    judgement = judge_candidate(single(inputs, 0), NestedFolds(targets, inputs.fold_of_row, rule), rule)
    chance = best_constant_prediction_f1(targets)
    assert macro_f1(judgement.flattered, targets) > chance + 0.02 > macro_f1(judgement.decided, targets) + 0.01


def test_the_ledger_holds_every_entry_and_every_difference():
    targets = random_targets(rows=240)
    inputs = inputs_of(targets)
    judgements, choice = judge(inputs, context_of(inputs))
    names = [f"label {index}" for index in range(6)]
    ledger = make_ledger(judgements, choice, targets, names, samples=100, seed=0)
    assert set(ledger["members"]) == {"a", "b", "c"}
    assert set(ledger["fusion"]) == {"mean", "weighted", "lightgbm"}
    assert ledger["student"] is None
    assert set(ledger["final_minus"]) == set(judgements)
    assert [row["label"] for row in ledger["labels"]] == names
    entries = ledger["members"] | ledger["fusion"] | {"final": ledger["final"]}
    best = max("abc", key=lambda name: ledger["members"][name]["oof_macro_f1"])
    assert ledger["best_single"] == best
    decided = {name: judgement.decided for name, judgement in judgements.items()} | {"final": choice.decided}
    for name, entry in entries.items():
        assert entry["optimistic_oof_macro_f1"] >= entry["oof_macro_f1"]
        for key, other in (("minus_mean", "mean"), ("minus_best_single", best)):
            expected = difference_interval(decided[name], decided[other], targets, samples=100, seed=0)
            assert entry[key]["interval"] == expected
            assert entry[key]["difference"] == entry["oof_macro_f1"] - entries[other]["oof_macro_f1"]
    for name, minus in ledger["final_minus"].items():
        entry = (ledger["members"] | ledger["fusion"])[name]
        assert entry.keys() == ledger["final"].keys()
        assert minus["difference"] == pytest.approx(ledger["final"]["oof_macro_f1"] - entry["oof_macro_f1"])
        assert minus["interval"][0] <= minus["difference"] <= minus["interval"][1]
    assert len(ledger["choice"]["folds"]) == 4
    without = {name: judgement for name, judgement in judgements.items() if name != "mean"}
    ledger = make_ledger(without, choice, targets, names, samples=100, seed=0)
    assert ledger["final"]["minus_mean"] is None and ledger["final"]["minus_best_single"] is not None
