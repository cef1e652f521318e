"""Calibration: from a model's probabilities to ones that mean what they say, by a rising map a label.

Members whose probabilities mean different things can't be averaged well: a confident one drowns a careful one. Both
maps are pulled towards leaving the probabilities as they are, in step with the label's positives, so that a label with
one positive, or none, is safe. A map fitted on the rows that it is then scored on flatters: `cross_fitted` does not.
"""

from dataclasses import dataclass
from typing import assert_never

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.ensemble.odds import logit, probability
from polydx.judge.metrics import Mask, Scores
from polydx.names import CalibrationMethod

_FLATTEST = 1e-3
"""The way back through a map divides by no smaller slope."""


@dataclass(frozen=True)
class PlattMaps:
    """log-odds of the calibrated probability = slope * log-odds + intercept.

    Attributes:
        slopes: `[labels]`, float64, not negative.
        intercepts: `[labels]`, float64.
    """

    slopes: Scores
    intercepts: Scores

    def apply(self, probabilities: Floats) -> Floats:
        """Calibrated probabilities `[..., labels]`, float32."""
        return probability(logit(probabilities) * self.slopes + self.intercepts)

    def inverse(self, calibrated: Scores) -> Scores:
        """The probabilities `[labels]` that map to these calibrated ones, float64."""
        odds = logit(calibrated).astype(np.float64)
        return probability((odds - self.intercepts) / np.maximum(self.slopes, _FLATTEST)).astype(np.float64)


@dataclass(frozen=True)
class IsotonicMaps:
    """A rising step function a label, with straight lines between the steps, mixed with the probability itself.

    Attributes:
        knots: For each label the probabilities and the calibrated ones between which lines run, both float64.
        trust: `[labels]`, weight of the step function; without any the label's probabilities stay as they are.
    """

    knots: tuple[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]], ...]
    trust: Scores

    def apply(self, probabilities: Floats) -> Floats:
        """Calibrated probabilities `[..., labels]`, float32."""
        calibrated = np.array(probabilities, dtype=np.float32)
        for label, (places, values) in enumerate(self.knots):
            stepped = np.interp(probabilities[..., label], places, values)
            calibrated[..., label] += self.trust[label] * (stepped - probabilities[..., label])
        return calibrated


Maps = PlattMaps | IsotonicMaps


def fit_calibration(probabilities: Floats, targets: Mask, method: CalibrationMethod, prior: float) -> Maps:
    """Fit a map for every label.

    Args:
        probabilities: `[rows, labels]`, float32 in [0, 1]; out of fold for the model behind them.
        targets: `[rows, labels]`, bool.
        method: `platt` for `fit_platt`, `isotonic` for `fit_isotonic`.
        prior: Positives' worth of pull towards leaving the probabilities as they are.
    """
    match method:
        case "platt":
            return fit_platt(probabilities, targets, prior)
        case "isotonic":
            return fit_isotonic(probabilities, targets, prior)
        case _:
            assert_never(method)


def fit_platt(probabilities: Floats, targets: Mask, prior: float) -> PlattMaps:
    """Fit slope and intercept of each label's log-odds by logistic regression with Platt's smoothed targets.

    Platt (1999) lets a positive stand for (positives + 1) / (positives + 2) and a negative for 1 / (negatives + 2),
    which keeps the fit finite where a cut parts the two. A falling map would turn the model's order round, so that a
    slope below zero becomes zero. Arguments as in `fit_calibration`.
    """
    trust = _trust(targets, prior)
    slopes, intercepts = np.ones(len(trust)), np.zeros(len(trust))
    odds = logit(probabilities)
    for label in np.flatnonzero(trust):
        slope, intercept = _fit_one_platt(odds[:, label], targets[:, label])
        slopes[label] += trust[label] * (slope - 1)
        intercepts[label] = trust[label] * intercept
    return PlattMaps(slopes, intercepts)


def fit_isotonic(probabilities: Floats, targets: Mask, prior: float) -> IsotonicMaps:
    """Fit a rising step function for each label by isotonic regression; arguments as in `fit_calibration`.

    It needs more positives than Platt's map, and where the mix leaves it alone (a prior of 0) its steps tie rows that
    the model had in order.
    """
    # Here and below: whoever only decides by thresholds need not wait for scikit-learn.
    from sklearn.isotonic import IsotonicRegression

    trust = _trust(targets, prior)
    edges = np.array([0.0, 1.0])
    knots = [(edges, edges)] * len(trust)
    for label in np.flatnonzero(trust):
        fit = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        fit.fit(probabilities[:, label].astype(np.float64), targets[:, label].astype(np.float64))
        knots[label] = (fit.X_thresholds_, fit.y_thresholds_)
    return IsotonicMaps(tuple(knots), trust)


def cross_fitted(
    probabilities: Floats, targets: Mask, fold_of_row: npt.NDArray[np.int64], method: CalibrationMethod, prior: float
) -> Floats:
    """Calibrate each fold's rows by maps fitted on the other folds: `[rows, labels]`, float32.

    Args:
        probabilities: As in `fit_calibration`.
        targets: `[rows, labels]`, bool.
        fold_of_row: `[rows]`.
        method: As in `fit_calibration`.
        prior: As in `fit_calibration`.
    """
    calibrated = np.empty(probabilities.shape, dtype=np.float32)
    for fold in np.unique(fold_of_row):
        rows = fold_of_row == fold
        maps = fit_calibration(probabilities[~rows], targets[~rows], method, prior)
        calibrated[rows] = maps.apply(probabilities[rows])
    return calibrated


def _trust(targets: Mask, prior: float) -> Scores:
    """How far each label's own fit counts: `[labels]` in [0, 1]; 0 without a positive or without a negative."""
    positives = targets.sum(axis=0)
    fits = (positives > 0) & (positives < len(targets))
    trust: Scores = np.divide(positives, positives + prior, out=np.zeros(len(positives)), where=fits)
    return trust


def _fit_one_platt(odds: Floats, targets: Mask) -> tuple[float, float]:
    from sklearn.linear_model import LogisticRegression

    positives, rows = int(targets.sum()), len(targets)
    smoothed = np.where(targets, (positives + 1) / (positives + 2), 1 / (rows - positives + 2))
    flat = 0.0, float(logit(smoothed.mean()))
    if odds.min() == odds.max():
        return flat
    # Scikit-learn takes no target between the classes: every row stands in both, by weight.
    fit = LogisticRegression(C=np.inf, solver="newton-cholesky").fit(
        np.concatenate([odds, odds])[:, None].astype(np.float64),
        np.repeat([1, 0], rows),
        np.concatenate([smoothed, 1 - smoothed]),
    )
    slope, intercept = float(fit.coef_[0, 0]), float(fit.intercept_[0])
    # The likelihood is concave, so that where the best slope is negative the best of the others is zero.
    return (slope, intercept) if slope > 0 else flat
