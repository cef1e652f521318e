"""A ridge-regularised logistic combination of log-odds: the linear start of LightGBM's trees, and a stacker itself."""

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from polydx.artifacts import Floats
from polydx.judge.metrics import Mask

Coefficients = npt.NDArray[np.float64]
RIDGE = 20.0
"""Pull of a stacker's combination towards the plain mean: few positives leave that as it is."""
_STEPS, _HALVINGS = 50, 30
_SETTLED = 1e-6
"""Nats to gain by half the squared Newton decrement (Boyd and Vandenberghe, 9.5) below which one full step ends it."""


def fit_combination(odds: Floats, targets: Mask, ridge: float, row_weights: Floats | None = None) -> Coefficients:
    """Fit log-odds of a label as `odds @ weights + intercept`, by maximum penalised likelihood, in damped Newton steps.

    The penalty `ridge / 2 * |weights - 1 / columns|^2` pulls towards the plain mean, so that few positives leave it as
    it is; the intercept is pulled a hundredth as hard, which keeps it finite where there is no positive.

    Args:
        odds: `[rows, columns]`, float32.
        targets: `[rows]`, bool.
        ridge: Strength of the pull, in rows' worth of curvature.
        row_weights: `[rows]`, how many rows each stands for; one each if None.

    Returns:
        `[columns + 1]`, float64: weights, intercept.
    """
    rows, columns = odds.shape
    design = np.column_stack([odds, np.ones(rows)]).astype(np.float64)
    start = np.append(np.full(columns, 1 / columns), 0.0)
    penalty = np.append(np.full(columns, ridge), ridge / 100)
    weights = np.ones(rows) if row_weights is None else row_weights.astype(np.float64)

    def loss(coefficients: Coefficients, fitted: Coefficients) -> float:
        pull = penalty @ (coefficients - start) ** 2 / 2
        return float(weights @ (np.logaddexp(0, fitted) - fitted * targets) + pull)

    found, fitted = start, design @ start
    before = loss(found, fitted)
    for _ in range(_STEPS):
        chances = expit(fitted)
        slope = design.T @ (weights * (chances - targets)) + penalty * (found - start)
        curvature = (design * (weights * chances * (1 - chances))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(curvature, slope)
        decrement = slope @ step / 2
        if decrement < _SETTLED:
            return found - step
        along = design @ step
        for halving in range(_HALVINGS):
            length = 0.5**halving
            after = loss(found - length * step, fitted - length * along)
            if after <= before - length * decrement / 2:
                break
        found, fitted, before = found - length * step, fitted - length * along, after
    return found


def combine(odds: Floats, coefficients: Coefficients) -> Floats:
    """Combined log-odds `[rows]`, float32."""
    combined: Floats = (odds @ coefficients[:-1] + coefficients[-1]).astype(np.float32)
    return combined
