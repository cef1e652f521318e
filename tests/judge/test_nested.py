import numpy as np
import pytest

from polydx.errors import UserError
from polydx.judge.folds import make_folds
from polydx.judge.metrics import macro_f1
from polydx.judge.nested import NestedFolds, cross_fitted_decisions, outer_folds


def halfway(fitting, targets, probabilities):
    """Decide at the midpoint between the mean scores of positives and negatives."""
    middle = [
        (fitting[known, label].mean() + fitting[~known, label].mean()) / 2 for label, known in enumerate(targets.T)
    ]
    return probabilities >= np.array(middle)


def problem(rows=200, labels=3, folds=4, seed=0):
    draw = np.random.default_rng(seed)
    targets = draw.random((rows, labels)) < 0.4
    scores = (0.3 * targets + 0.7 * draw.random((rows, labels))).astype(np.float32)
    return NestedFolds(targets, np.arange(rows) % folds, halfway), scores


def test_nothing_behind_a_held_out_row_saw_its_fold():
    nested, scores = problem()
    asked = []

    def predictor(hidden):
        asked.append(hidden)
        return np.where(nested.rows_of(hidden)[:, None], scores, np.float32(9))

    for hidden in (frozenset(), frozenset({2})):
        asked.clear()
        held_out = nested.held_out(predictor, hidden)
        assert asked == [hidden | {fold} for fold in nested.visible(hidden)]
        outside = ~nested.rows_of(hidden)
        np.testing.assert_array_equal(held_out[outside], scores[outside])
        assert np.isnan(held_out[~outside]).all()


def test_decisions_against_a_plain_loop():
    nested, scores = problem()
    expected = np.zeros_like(nested.targets)
    for fold in range(4):
        rows = nested.fold_of_row == fold
        expected[rows] = halfway(scores[~rows], nested.targets[~rows], scores[rows])
    np.testing.assert_array_equal(nested.decisions(lambda _hidden: scores), expected)


def test_a_fusion_that_learns_the_hidden_labels_by_heart_gains_nothing():
    nested, scores = problem()

    def by_heart(hidden):
        return np.where(nested.rows_of(hidden)[:, None], scores, nested.targets).astype(np.float32)

    np.testing.assert_array_equal(nested.decisions(by_heart), nested.decisions(lambda _hidden: scores))
    assert nested.inner_score(by_heart) == nested.inner_score(lambda _hidden: scores)


def test_a_fusion_that_ignores_what_is_hidden_is_seen_to_leak():
    """The planted fault: it answers with the labels themselves, whatever is hidden."""
    nested, scores = problem()
    leaky = macro_f1(nested.decisions(lambda _hidden: nested.targets.astype(np.float32)), nested.targets)
    assert leaky == 1.0 > macro_f1(nested.decisions(lambda _hidden: scores), nested.targets) + 0.2


def test_inner_scores_come_best_first_and_see_nothing_hidden():
    nested, scores = problem()
    noise = np.random.default_rng(1).random(scores.shape).astype(np.float32)
    predictors = {"noise": lambda _hidden: noise, "good": lambda _hidden: scores, "same": lambda _hidden: scores}
    before = nested.inner_scores(predictors, frozenset({1}))
    assert list(before) == ["good", "same", "noise"]
    nested.targets[nested.rows_of([1])] ^= True
    assert nested.inner_scores(predictors, frozenset({1})) == before


@pytest.mark.parametrize(("scheme", "folds"), [("stratified", 4), ("repeated", 4), ("stratified", 3), ("holdout", 2)])
def test_outer_folds_are_the_members_or_fresh_ones_where_those_are_too_few(scheme, folds):
    draw = np.random.default_rng(0)
    targets, groups = (draw.random((120, 3)) < 0.3).astype(np.float32), draw.integers(0, 90, 120)
    made = make_folds(
        [str(row) for row in range(120)],
        targets,
        groups,
        scheme=scheme,
        folds=folds,
        repeats=2,
        holdout_share=0.5,
        seed=0,
    )
    outer = outer_folds(made, targets, groups, seed=0)
    scored = made.scored()
    assert len(outer) == scored.sum()
    if folds == 4:
        for fold in range(4):
            np.testing.assert_array_equal(outer == fold, made.validation(fold))
    else:
        assert set(outer.tolist()) == set(range(5))
        for group in np.unique(groups[scored]):
            assert len(set(outer[groups[scored] == group].tolist())) == 1


def test_too_few_records_to_nest_anything_are_the_users_fault():
    targets, groups = np.ones((12, 2), dtype=np.float32), np.arange(12) % 8
    held_out = {"scheme": "holdout", "folds": 2, "repeats": 1, "holdout_share": 0.3, "seed": 0}
    made = make_folds([str(row) for row in range(12)], targets, groups, **held_out)
    assert len(np.unique(groups[made.scored()])) < 5
    with pytest.raises(UserError, match=r"split: leaves fewer than 5 groups .*; hold out more, or add records"):
        outer_folds(made, targets, groups, seed=0)


def test_each_fold_is_decided_by_what_was_fitted_on_the_others():
    draw = np.random.default_rng(0)
    said, other, targets = draw.random((9, 2)), draw.random((9, 2)), draw.random((9, 2)) < 0.5
    folds = np.arange(9) % 3

    def above_mean(fitting, known, scored):
        return scored > fitting.mean(axis=0) + known.mean(axis=0) - 0.5

    for fitted_on in (None, other):
        source = said if fitted_on is None else fitted_on
        expected = [
            said[row] > source[folds != folds[row]].mean(axis=0) + targets[folds != folds[row]].mean(axis=0) - 0.5
            for row in range(9)
        ]
        assert (cross_fitted_decisions(said, targets, folds, above_mean, fitted_on) == expected).all()
