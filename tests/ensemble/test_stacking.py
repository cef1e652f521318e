from collections import Counter
from dataclasses import replace

import lightgbm
import numpy as np
import pytest

from polydx.ensemble import row_sampling, stacking
from polydx.ensemble.combination import combine, fit_combination
from polydx.ensemble.fusion import arithmetic_mean
from polydx.ensemble.neighbourhood import Neighbourhood
from polydx.ensemble.record_features import RecordFeatures, no_features
from polydx.ensemble.stack_columns import StackColumns, StackInputs, column_kind, column_names
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
    plain = macro_f1(rule(arithmetic_mean(scored.members), truth, arithmetic_mean(scored.members)), truth)
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


def test_every_column_is_of_a_kind():
    views = Neighbourhood(np.ones(1), np.ones(1), (3, 10), np.zeros(1, int), *np.zeros((2, 1, 1, 1))).names()
    records = RecordFeatures(("age_years", "characters_text", "category_label"), np.zeros((1, 3), np.float32), (2,))
    names = column_names(["bert.round0", "label"], views, records, 2)
    assert dict(Counter(column_kind(name) for name in names)) == {
        "members' log-odds": 2,
        "neighbours' labels": 5,
        "neighbours' opinions": 2,
        "related labels": 2,
        "all labels together": 2,
        "which label": 1,
        "the record's features": 3,
    }


def test_related_labels_are_found_among_a_million_rows():
    """Summed in float32 the means of rare labels drift, and labels without anything in common look alike."""
    draw, rows, labels = np.random.default_rng(0), 1_000_000, 13
    members = np.full((1, rows, labels), 1e-6, dtype=np.float32)
    told = draw.choice(rows, 100, replace=False)
    members[0, told, 0] = 0.02
    for label in range(1, 5):
        members[0, np.union1d(told[:50], draw.choice(rows, 400, replace=False)), label] = 0.02
    for label in range(5, labels):
        members[0, draw.choice(rows, 60, replace=False), label] = 0.02
    columns = StackColumns(StackInputs(members, np.zeros((0, rows, labels), dtype=np.float32), no_features(rows)))
    assert sorted(columns.related[0]) == [1, 2, 3, 4]


def test_without_features_or_related_labels():
    inputs, targets = problem(rows=300, labels=1)
    bare = StackInputs(inputs.members, inputs.rates, no_features(300))
    assert np.isfinite(fit_stacker(bare, targets, RECIPE).predict(bare)).all()


def noisy_problem():
    """The first label of `problem`, and one as frequent that nothing tells of."""
    inputs, targets = problem(rows=1800, labels=2)
    targets[:, 1] = np.random.default_rng(0).permutation(targets[:, 0])
    return inputs, targets, np.arange(1800) % 3 == 0


STOPPING = replace(RECIPE, trees=60, learning_rate=0.3, early_stopping=5, frequent_positives=0)


def trees_by_a_plain_loop(inputs, targets, label, recipe, watched):
    """All trees are grown without the watched rows; the loss on these after each tree says when to stop."""
    columns = StackColumns(inputs)
    own, design, truth = columns.own(label), columns.design(label), targets[:, label]
    opening = combine(own, fit_combination(own[~watched], truth[~watched], 20.0))
    parameters = {
        "objective": "binary",
        "boost_from_average": False,
        "learning_rate": recipe.learning_rate,
        "num_leaves": recipe.leaves,
        "min_data_in_leaf": recipe.min_leaf_rows,
        "lambda_l2": 20.0,
        "feature_fraction": 0.5,
        "max_bin": 63,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "seed": recipe.seed,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(
        design[~watched],
        truth[~watched].astype(np.float32),
        init_score=opening[~watched],
        categorical_feature=columns.categorical(),
        params=parameters,
    )
    booster = lightgbm.train(parameters, data, recipe.trees)
    lowest, best = np.inf, 0
    for trees in range(1, recipe.trees + 1):
        odds = opening[watched] + booster.predict(design[watched], raw_score=True, num_iteration=trees)
        loss = np.mean(np.logaddexp(0, odds) - odds * truth[watched])
        if loss < lowest:
            lowest, best = loss, trees
        elif trees - best >= recipe.early_stopping:
            break
    return best


def test_early_stopping_against_a_plain_loop():
    inputs, targets, watched = noisy_problem()
    stacker = fit_stacker(inputs, targets, STOPPING, watched)
    found = [model.booster.num_trees() for model in stacker.models]
    assert found == [trees_by_a_plain_loop(inputs, targets, label, STOPPING, watched) for label in range(2)]
    assert found[1] < 10 < 40 < found[0] < 60  # there is nothing to learn about the second


def test_the_trees_found_are_grown_on_all_rows():
    inputs, targets, watched = noisy_problem()
    stopped = fit_stacker(inputs, targets, STOPPING, watched)
    trees = stopped.models[0].booster.num_trees()
    fixed = fit_stacker(inputs, targets, replace(STOPPING, trees=trees, early_stopping=0))
    np.testing.assert_array_equal(stopped.predict(inputs)[:, 0], fixed.predict(inputs)[:, 0])


@pytest.mark.parametrize("fewest_rows", [100, 10_000])
def test_the_model_of_rare_labels_stops_early_on_noise_too(fewest_rows, monkeypatch):
    monkeypatch.setattr(row_sampling, "FEWEST_ROWS", fewest_rows)
    monkeypatch.setattr(row_sampling, "NEGATIVES", 1)
    inputs, targets, watched = noisy_problem()
    noise = np.stack([targets[:, 1], np.random.default_rng(8).permutation(targets[:, 1])], axis=1)
    recipe = replace(STOPPING, frequent_positives=10_000)
    (pooled,) = fit_stacker(inputs, noise, recipe, watched).models
    assert pooled.booster.num_trees() < 10
    (unstopped,) = fit_stacker(inputs, noise, replace(recipe, early_stopping=0)).models
    assert unstopped.booster.num_trees() == 60


@pytest.mark.parametrize("watched", [None, np.zeros(1800, dtype=bool), np.ones(1800, dtype=bool)])
def test_early_stopping_needs_a_part_to_watch(watched):
    inputs, targets, _ = noisy_problem()
    with pytest.raises(ValueError, match="a part of the rows"):
        fit_stacker(inputs, targets, replace(RECIPE, early_stopping=5), watched)
