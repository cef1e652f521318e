"""Between probabilities and log-odds, the scale on which models' opinions add up."""

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats

_EDGE = 1e-6
"""Probabilities nearer to 0 or 1 than this count as this near, so that no single opinion is infinitely sure."""


def log_odds(probabilities: npt.ArrayLike) -> Floats:
    """log(p / (1 - p)), float32, any shape; within ±13.8."""
    inside = np.clip(np.asarray(probabilities, dtype=np.float64), _EDGE, 1 - _EDGE)
    return np.log(inside / (1 - inside)).astype(np.float32)


def probability(odds: npt.ArrayLike) -> Floats:
    """1 / (1 + e^-x), float32, any shape."""
    return (1 / (1 + np.exp(-np.asarray(odds, dtype=np.float64)))).astype(np.float32)
