from dataclasses import replace

import numpy as np
import pytest

from polydx.ensemble import row_sampling, stacking
from polydx.ensemble.fusion import mean
from polydx.ensemble.record_features import RecordFeatures, no_features
from polydx.ensemble.stack_columns import StackInputs, column_names
from polydx.ensemble.stacking import StackerRecipe, fit_stacker
from polydx.ensemble.thresholds import DecisionRule
from polydx.judge.metrics import macro_f1

RECIPE = StackerRecipe(
    trees=30, learning_rate=0.1, leaves=5, min_leaf_rows=10, frequent_positives=50, threads=2, seed=0
)


def problem(rows=1200, labels=5, seed=0):
    """Two members: the first knows something of the records of category 1 alone, the second of the others."""
    draw = np.random.default_rng(seed)
    targets = draw.random((rows, labels)) < np.linspace(0.25, 0.02, labels)
    category = draw.random(rows) < 0.5
    honest = np.clip(0.5 + (targets - 0.5) * 0.7 + 0.15 * draw.normal(size=targets.shape), 0.01, 0.99)
    noise = np.clip(0.5 + 0.3 * draw.normal(size=targets.shape), 0.01, 0.99)
    members = np.stack([np.where(category[:, None] == side, honest, noise) for side in (True, False)])
    records = RecordFeatures(("category",), category[:, None].astype(np.float32), (0,))
    return StackInputs(members.astype(np.float32), np.zeros((0, rows, labels), dtype=np.float32), records), targets


def halves(inputs, targets):
    half = np.arange(len(targets)) % 2 == 0
    return (inputs.take(half), targets[half]), (inputs.take(~half), targets[~half])


def test_it_uses_the_record_to_know_whom_to_believe():
    (fitting, known), (scored, truth) = halves(*problem())
    fused = fit_stacker(fitting, known, replace(RECIPE, trees=80, learning_rate=0.2)).predict(scored)
    rule = DecisionRule(10.0, 0, 5, "shrunk")
    assert fused.shape == truth.shape and fused.dtype == np.float32
    stacked = macro_f1(rule(fused, truth, fused), truth)
    plain = macro_f1(rule(mean(scored.members), truth, mean(scored.members)), truth)
    assert stacked > plain + 0.1


def test_permuted_labels_leave_nothing_to_learn():
    inputs, targets = problem()
    permuted = targets[np.random.default_rng(9).permutation(len(targets))]
    (fitting, known), (scored, truth) = halves(inputs, permuted)
    fused = fit_stacker(fitting, known, RECIPE).predict(scored)
    frequent = truth.sum(axis=0) > 50
    correlation = [np.corrcoef(fused[:, label], truth[:, label])[0, 1] for label in np.flatnonzero(frequent)]
    assert np.abs(correlation).max() < 0.12


@pytest.mark.parametrize("fewest_rows", [100, 10_000])
def test_the_same_bytes_however_many_threads(fewest_rows, monkeypatch):
    monkeypatch.setattr(row_sampling, "FEWEST_ROWS", fewest_rows)
    inputs, targets = problem(rows=500)
    one, two = (fit_stacker(inputs, targets, replace(RECIPE, threads=threads)).predict(inputs) for threads in (1, 2))
    assert one.tobytes() == two.tobytes()


def test_rare_labels_share_a_model_and_an_unseen_one_stays_unlikely():
    inputs, targets = problem()
    targets[:, 4] = False
    stacker = fit_stacker(inputs, targets, RECIPE)
    rare = targets.sum(axis=0) < 50
    assert [len(model.labels) for model in stacker.models] == [rare.sum()] + [1] * (~rare).sum()
    fused = stacker.predict(inputs)
    assert fused[:, 4].mean() < 0.05


def first_tree_rows(model):
    return model.booster.dump_model()["tree_info"][0]["tree_structure"]["internal_count"]


def test_a_long_pooled_table_is_thinned_by_weight(monkeypatch):
    monkeypatch.setattr(row_sampling, "FEWEST_ROWS", 10_000)
    inputs, targets = problem(rows=4000)
    whole = fit_stacker(inputs, targets, replace(RECIPE, frequent_positives=10_000))
    monkeypatch.setattr(stacking, "POOLED_ROWS", 6_000)
    thinned = fit_stacker(inputs, targets, replace(RECIPE, frequent_positives=10_000))
    assert first_tree_rows(whole.models[0]) == 20_000
    assert first_tree_rows(thinned.models[0]) == pytest.approx(6_000, rel=0.05)
    # Without the weights, the sample's rates would be more than three times too high.
    np.testing.assert_allclose(thinned.predict(inputs).mean(axis=0), whole.predict(inputs).mean(axis=0), atol=0.01)


@pytest.mark.parametrize("frequent_positives", [50, 10_000])
def test_trees_on_the_rows_that_the_combination_gets_wrong_are_as_good(frequent_positives, monkeypatch):
    (fitting, known), (scored, truth) = halves(*problem(rows=8000, labels=3))
    recipe = replace(RECIPE, trees=60, frequent_positives=frequent_positives)
    whole = fit_stacker(fitting, known, recipe)
    monkeypatch.setattr(row_sampling, "FEWEST_ROWS", 400)
    monkeypatch.setattr(row_sampling, "NEGATIVES", 3)
    sampled = fit_stacker(fitting, known, recipe)
    rows = [sum(map(first_tree_rows, stacker.models)) for stacker in (whole, sampled)]
    assert rows[1] < 0.7 * rows[0]
    predicted = [stacker.predict(scored) for stacker in (whole, sampled)]
    np.testing.assert_allclose(predicted[1].mean(axis=0), predicted[0].mean(axis=0), atol=0.01)
    rule = DecisionRule(10.0, 0, 3, "shrunk")
    scores = [macro_f1(rule(fused, truth, fused), truth) for fused in predicted]
    assert scores[1] > scores[0] - 0.02


@pytest.mark.parametrize("frequent_positives", [0, 10_000])
def test_all_labels_frequent_or_all_rare(frequent_positives):
    inputs, targets = problem(rows=400, labels=2)
    stacker = fit_stacker(inputs, targets, replace(RECIPE, frequent_positives=frequent_positives))
    assert len(stacker.models) == (2 if frequent_positives == 0 else 1)
    assert macro_f1(stacker.predict(inputs) > 0.5, targets) > 0.5


def test_importance_names_every_column_once():
    inputs, targets = problem(rows=500)
    stacker = fit_stacker(inputs, targets, RECIPE)
    names = column_names(["a", "b"], [], inputs.records, stacker.related.shape[1])
    importance = stacker.importance(names)
    assert sorted(importance) == sorted(names)
    assert sum(importance.values()) == pytest.approx(1)
    assert list(importance.values()) == sorted(importance.values(), reverse=True)


def test_without_features_or_related_labels():
    inputs, targets = problem(rows=300, labels=1)
    bare = StackInputs(inputs.members, inputs.rates, no_features(300))
    assert np.isfinite(fit_stacker(bare, targets, RECIPE).predict(bare)).all()
