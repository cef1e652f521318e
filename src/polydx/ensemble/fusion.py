"""Fusing the members' probabilities: pure functions on `[members, rows, labels]`, float32 in [0, 1]."""

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.ensemble.thresholds import shrunk_thresholds
from polydx.judge.metrics import Mask, macro_f1

Weights = npt.NDArray[np.float64]
_PICKS = 12


def mean(members: Floats) -> Floats:
    """Arithmetic mean of the members: `[rows, labels]`."""
    fused: Floats = members.mean(axis=0)
    return fused


def weighted_mean(members: Floats, weights: Weights) -> Floats:
    """Mean of the members with non-negative weights `[members]` that sum to one: `[rows, labels]`."""
    fused: Floats = np.tensordot(weights.astype(np.float32), members, axes=1)
    # Weights are rounded, so that a sum of certainties may exceed 1 by an ulp.
    return np.minimum(fused, np.float32(1))


def fit_weights(members: Floats, targets: Mask, prior: float) -> Weights:
    """Weights by ensemble selection (Caruana 2004): members are picked one by one, again and again, for macro-F1.

    Each pick is the member that lifts the macro-F1 of the mean of all picks most, at its own best thresholds; the
    weights are the shares of the picks at the best moment. It suits members whose probabilities are not calibrated
    alike, where likelihood would reward the calibrated one, not the one that ranks well.

    Args:
        members: `[members, rows, labels]`, float32, out of fold.
        targets: `[rows, labels]`, bool.
        prior: Shrinkage of the thresholds, as in `shrunk_thresholds`.

    Returns:
        `[members]`, float64, non-negative, summing to one.
    """
    picks = np.zeros(len(members))
    best_picks, best_score = picks, -1.0
    for _ in range(_PICKS):
        scores = []
        for member in range(len(members)):
            tried = picks + np.eye(len(members))[member]
            fused = weighted_mean(members, tried / tried.sum())
            scores.append(macro_f1(fused >= shrunk_thresholds(fused, targets, prior), targets))
        picks = picks + np.eye(len(members))[int(np.argmax(scores))]
        if max(scores) > best_score:
            best_picks, best_score = picks, max(scores)
    weights: Weights = best_picks / best_picks.sum()
    return weights
