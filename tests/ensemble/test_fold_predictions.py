import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polydx.ensemble.fold_predictions import combine_folds, fold_vote, matched_mean
from polydx.ensemble.thresholds import f1_thresholds
from polydx.ensemble.voting import absolute_majority
from polydx.judge.metrics import macro_f1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6))
def test_the_fold_vote_is_the_majority_of_the_fold_models_at_any_threshold(seed, jobs):
    draw = np.random.default_rng(seed)
    predictions = (draw.integers(0, 6, (jobs, 20, 3)) / 5).astype(np.float32)
    thresholds = draw.choice([0.2, 0.5, 0.6, 1.0], 3)
    expected = absolute_majority(predictions >= thresholds)
    np.testing.assert_array_equal(fold_vote(predictions) >= thresholds, expected)


def smooth_problem(rows=4000, jobs=5, seed=0):
    """Fold models that each see the truth through noise of their own: their mean is far less noisy than each."""
    draw = np.random.default_rng(seed)
    targets = draw.random((rows, 3)) < [0.3, 0.1, 0.05]
    odds = 2.5 * (targets - 0.8) + draw.normal(size=(rows, 3)) + 1.5 * draw.normal(size=(jobs, rows, 3))
    return (1 / (1 + np.exp(-odds))).astype(np.float32), targets


def test_the_matched_mean_has_the_distribution_of_single_fold_models():
    predictions, _ = smooth_problem()
    matched, plain = matched_mean(predictions), predictions.mean(axis=0)
    for share in (0.05, 0.5, 0.95, 0.99):
        single = np.quantile(predictions.reshape(-1, 3), share, axis=0)
        np.testing.assert_allclose(np.quantile(matched, share, axis=0), single, atol=0.01)
    assert (np.quantile(plain, 0.99, axis=0) < np.quantile(predictions.reshape(-1, 3), 0.99, axis=0)).all()
    for label in range(3):
        assert (np.diff(matched[np.argsort(plain[:, label], kind="stable"), label]) >= 0).all()


def test_every_combination_beats_one_fold_model_at_its_thresholds():
    (fitting, fitting_targets), (predictions, targets) = smooth_problem(), smooth_problem(seed=1)
    thresholds = f1_thresholds(fitting[0], fitting_targets)
    alone = macro_f1(predictions[0] >= thresholds, targets)
    for how in ("mean", "vote", "matched"):
        assert macro_f1(combine_folds(predictions, how) >= thresholds, targets) > alone + 0.02, how


def test_one_fold_model_is_left_as_it_is():
    prediction = np.random.default_rng(0).random((1, 50, 2), dtype=np.float32)
    for how in ("mean", "vote", "matched"):
        assert combine_folds(prediction, how) == pytest.approx(prediction[0], abs=1e-6)
