from dataclasses import replace

import numpy as np
import pytest

from polydx.ensemble import stacking
from polydx.ensemble.combination import combine, fit_combination
from polydx.ensemble.fusion import mean
from polydx.ensemble.record_features import RecordFeatures, no_features
from polydx.ensemble.stacking import StackerRecipe, StackInputs, _keep_rows, column_names, fit_stacker
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
    rule = DecisionRule(10.0, 0, 5)
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


def test_the_same_bytes_however_many_threads():
    inputs, targets = problem(rows=500)
    one, two = (fit_stacker(inputs, targets, replace(RECIPE, threads=threads)).predict(inputs) for threads in (1, 2))
    assert one.tobytes() == two.tobytes()


def test_rare_labels_share_a_model_and_an_unseen_one_stays_unlikely():
    inputs, targets = problem()
    targets[:, 4] = False
    stacker = fit_stacker(inputs, targets, RECIPE)
    assert [len(model.labels) for model in stacker.models] == [1] * int((targets.sum(axis=0) >= 50).sum()) + [
        int((targets.sum(axis=0) < 50).sum())
    ]
    fused = stacker.predict(inputs)
    assert fused[:, 4].mean() < 0.05


def test_a_long_pooled_table_keeps_all_positives_and_weighs_the_negatives_it_drew(monkeypatch):
    inputs, targets = problem(rows=4000)
    whole = fit_stacker(inputs, targets, replace(RECIPE, frequent_positives=10_000))
    monkeypatch.setattr(stacking, "POOLED_ROWS", 6_000)
    sampled = fit_stacker(inputs, targets, replace(RECIPE, frequent_positives=10_000))
    tables = [stacker.models[0].booster.dump_model()["tree_info"][0]["tree_structure"] for stacker in (whole, sampled)]
    assert tables[0]["internal_count"] == 20_000
    assert tables[1]["internal_count"] == pytest.approx(6_000, rel=0.05)
    # Without the weights, the sample's rates would be more than three times too high.
    np.testing.assert_allclose(sampled.predict(inputs).mean(axis=0), whole.predict(inputs).mean(axis=0), atol=0.01)
    rows, weight = _keep_rows(targets, 6_000, seed=0)
    assert all(np.isin(np.flatnonzero(column), kept).all() for column, kept in zip(targets.T, rows, strict=True))
    assert sum(map(len, rows)) - targets.sum() == pytest.approx((targets.size - targets.sum()) / weight, rel=0.05)


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


def test_the_combination_recovers_the_weights_behind_the_labels():
    draw = np.random.default_rng(0)
    odds = draw.normal(size=(40_000, 2)).astype(np.float32)
    chance = 1 / (1 + np.exp(-(odds @ [1.5, 0.5] - 1)))
    found = fit_combination(odds, draw.random(40_000) < chance, ridge=1.0)
    np.testing.assert_allclose(found, [1.5, 0.5, -1], atol=0.06)


def test_a_strong_ridge_leaves_the_plain_mean():
    odds = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    found = fit_combination(odds, odds[:, 0] > 0, ridge=1e7)
    np.testing.assert_allclose(combine(odds, found), odds.mean(axis=1), atol=0.01)


def test_the_combination_stays_finite_when_members_part_the_rows_or_no_row_is_positive():
    odds = np.array([[-13.8], [-13.8], [13.8], [13.8]], dtype=np.float32)
    for targets in ([False, False, True, True], [True, True, False, False], [False] * 4):
        found = fit_combination(np.tile(odds, (2000, 1)), np.tile(targets, 2000), ridge=20.0)
        assert np.abs(found).max() < 50
