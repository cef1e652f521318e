import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression

from polydx.ensemble.calibration import cross_fitted, fit_calibration, fit_isotonic, fit_platt
from polydx.ensemble.odds import logit, probability

METHODS = ("platt", "isotonic")


def bent_problem(rows=3000, seed=0):
    """Probabilities that are too sure of themselves, the true ones, and labels drawn by those."""
    draw = np.random.default_rng(seed)
    true = draw.beta([0.6, 0.4, 0.2], [1, 2, 4], (rows, 3)).astype(np.float32)
    return probability(2.5 * logit(true) + 1), true, draw.random((rows, 3)) < true


class Opinion(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose decision function is the column that it is given."""

    classes_ = np.array([0, 1])

    def fit(self, *_):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def decision_function(self, columns):
        return columns[:, 0]

    def predict(self, columns):
        return (columns[:, 0] > 0).astype(int)


def test_platt_is_scikit_learns():
    bent, _, targets = bent_problem(400)
    targets[:, 2] = np.arange(400) == 7  # one positive
    found = fit_platt(bent, targets, 0.0).apply(bent)
    for label in range(3):
        column = logit(bent[:, label])[:, None].astype(np.float64)
        peer = CalibratedClassifierCV(FrozenEstimator(Opinion()), method="sigmoid", ensemble=False)
        peer.fit(column, targets[:, label])
        np.testing.assert_allclose(found[:, label], peer.predict_proba(column)[:, 1], atol=2e-4)


@pytest.mark.filterwarnings("error")
def test_of_a_constant_column_nothing_but_the_rate_is_learnt():
    targets = np.arange(400)[:, None] % 4 == np.zeros(2)
    column = np.full((400, 2), [0.9, 0.0], dtype=np.float32)
    found = fit_platt(column, targets, 0.0).apply(column)
    np.testing.assert_allclose(found, 0.25, atol=1e-3)


def test_isotonic_is_scikit_learns():
    bent, _, targets = bent_problem(400)
    fresh = bent_problem(200, seed=5)[0]
    found = fit_isotonic(bent, targets, 0.0).apply(fresh)
    for label in range(3):
        peer = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        peer.fit(bent[:, label].astype(np.float64), targets[:, label])  # in float32 it merges near neighbours
        np.testing.assert_allclose(found[:, label], peer.predict(fresh[:, label].astype(np.float64)), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_calibrated_probabilities_are_nearer_the_truth_on_other_rows(method):
    bent, _, targets = bent_problem()
    fresh, true, _ = bent_problem(seed=1)
    calibrated = fit_calibration(bent, targets, method, 20.0).apply(fresh)
    assert (np.abs(calibrated - true).mean(axis=0) < 0.5 * np.abs(fresh - true).mean(axis=0)).all()


@pytest.mark.parametrize("method", METHODS)
def test_labels_with_few_positives_are_safe(method):
    bent, _, targets = bent_problem(300)
    targets[:, 0], targets[:, 1], targets[:, 2] = False, True, np.arange(300) == 3
    maps = fit_calibration(bent, targets, method, 20.0)
    calibrated = maps.apply(bent)
    np.testing.assert_allclose(calibrated[:, :2], bent[:, :2], atol=1e-6)
    moved = np.abs(calibrated[:, 2] - bent[:, 2]).max()
    assert np.isfinite(calibrated).all() and 0 < moved < 0.25


@pytest.mark.parametrize("method", METHODS)
def test_a_model_of_no_use_is_not_turned_round(method):
    draw = np.random.default_rng(0)
    targets = draw.random((500, 1)) < 0.3
    backwards = np.clip(0.5 - 0.3 * targets + 0.1 * draw.normal(size=(500, 1)), 0, 1).astype(np.float32)
    calibrated = fit_calibration(backwards, targets, method, 0.0).apply(backwards)
    assert (np.diff(calibrated[np.argsort(backwards[:, 0]), 0]) >= -1e-6).all()
    assert abs(calibrated.mean() - targets.mean()) < 0.01


def test_the_way_back_through_platts_map():
    bent, _, targets = bent_problem(1000)
    maps = fit_platt(bent, targets, 20.0)
    row = np.array([[0.2, 0.5, 0.7]], dtype=np.float32)
    np.testing.assert_allclose(maps.inverse(maps.apply(row)[0]), row[0], atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_more_dimensions_are_mapped_by_the_last(method):
    bent, _, targets = bent_problem(200)
    maps = fit_calibration(bent, targets, method, 5.0)
    np.testing.assert_array_equal(maps.apply(bent.reshape(4, 50, 3)).reshape(200, 3), maps.apply(bent))


@pytest.mark.parametrize("method", METHODS)
def test_cross_fitting_against_a_plain_loop_and_no_fold_sees_its_own_labels(method):
    bent, _, targets = bent_problem(200)
    folds = np.arange(200) % 4
    found = cross_fitted(bent, targets, folds, method, 5.0)
    for fold in range(4):
        rows = folds == fold
        maps = fit_calibration(bent[~rows], targets[~rows], method, 5.0)
        np.testing.assert_array_equal(found[rows], maps.apply(bent[rows]))
        changed = cross_fitted(bent, targets ^ rows[:, None], folds, method, 5.0)
        np.testing.assert_array_equal(found[rows], changed[rows])
        assert (found != changed).any()
