"""A ridge-regularised logistic combination of log-odds: the linear start of the stacker."""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from polydx.artifacts import Floats
from polydx.judge.metrics import Mask

Coefficients = npt.NDArray[np.float64]


def fit_combination(odds: Floats, targets: Mask, ridge: float, row_weights: Floats | None = None) -> Coefficients:
    """Fit log-odds of a label as `odds @ weights + intercept`, by maximum penalised likelihood.

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
    columns = odds.shape[1]
    design = np.column_stack([odds, np.ones(len(odds))]).astype(np.float64)
    start = np.append(np.full(columns, 1 / columns), 0.0)
    penalty = np.append(np.full(columns, ridge), ridge / 100)
    weights = np.ones(len(odds)) if row_weights is None else row_weights.astype(np.float64)

    def objective(coefficients: Coefficients) -> tuple[float, Coefficients]:
        fitted, pull = design @ coefficients, coefficients - start
        loss = weights @ (np.logaddexp(0, fitted) - fitted * targets) + (penalty * pull**2).sum() / 2
        return float(loss), design.T @ (weights * (expit(fitted) - targets)) + penalty * pull

    found: Coefficients = minimize(objective, start, jac=True, method="L-BFGS-B").x
    return found


def combine(odds: Floats, coefficients: Coefficients) -> Floats:
    """Combined log-odds `[rows]`, float32."""
    combined: Floats = (odds @ coefficients[:-1] + coefficients[-1]).astype(np.float32)
    return combined
