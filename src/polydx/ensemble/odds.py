"""Between probabilities and log-odds, the scale on which models' opinions add up."""

import math

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats

_EDGE = 1e-6
"""Probabilities nearer to 0 or 1 than this count as this near, so that no single opinion is infinitely sure."""
_FARTHEST = math.log((1 - _EDGE) / _EDGE)


def logit(probabilities: npt.ArrayLike) -> Floats:
    """log(p / (1 - p)), float32, any shape; within ±13.8. Float32 is worked on as it is: no more could be known."""
    values = np.asarray(probabilities)
    values = values if values.dtype == np.float32 else values.astype(np.float64)
    with np.errstate(divide="ignore"):
        odds = np.log(values / (1 - values))
    bounded: Floats = np.clip(odds, -_FARTHEST, _FARTHEST).astype(np.float32)
    return bounded


def probability(odds: npt.ArrayLike) -> Floats:
    """1 / (1 + e^-x), float32, any shape."""
    return (1 / (1 + np.exp(-np.asarray(odds, dtype=np.float64)))).astype(np.float32)
