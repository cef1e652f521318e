"""Hard voting: the members decide, and their decisions are counted. Pure functions on `[members, ..., labels]`, bool.

A vote knows no more than yes and no, so thresholds of the members themselves matter; soft voting is
`fusion.arithmetic_mean`. Weights are `[members]`, float64, not negative, summing to one; none means a vote each.
"""

import numpy as np

from polydx.artifacts import Floats
from polydx.ensemble.fusion import Weights
from polydx.judge.metrics import Mask

_ROUNDING = 1e-9


def vote_shares(decided: Mask, weights: Weights | None = None) -> Floats:
    """Share of the votes that each label of each record has: `[..., labels]`, float32 in [0, 1].

    Args:
        decided: `[members, ..., labels]`, bool.
        weights: As everywhere here.
    """
    shares = decided.mean(axis=0) if weights is None else np.tensordot(weights, decided.astype(np.float64), axes=1)
    return np.clip(shares, 0, 1).astype(np.float32)


def absolute_majority(decided: Mask, weights: Weights | None = None) -> Mask:
    """Labels that more than half of the votes, or of their weight, name: `[..., labels]`; a tie is a no."""
    shares = np.tensordot(_one_each(decided, weights), decided.astype(np.float64), axes=1)
    mask: Mask = shares > 0.5 + _ROUNDING
    return mask


def plurality(decided: Mask, weights: Weights | None = None) -> Mask:
    """Of each record the whole label set that most members, or most weight, name: `[..., labels]`.

    Label by label, most votes are more than half of them. Over whole sets they need not be, and the answer is always
    one that some member gave, never a mixture. Of equal sets the one that the earlier member names wins.
    """
    weight = _one_each(decided, weights)
    support = [np.tensordot(weight, (decided == ballot).all(axis=-1).astype(np.float64), axes=1) for ballot in decided]
    # Rounding away the order that weights were added in lets equal sums be equal.
    winner = np.argmax(np.round(support, 9), axis=0)
    mask: Mask = np.take_along_axis(decided, winner[None, ..., None], axis=0)[0]
    return mask


def _one_each(decided: Mask, weights: Weights | None) -> Weights:
    return np.full(len(decided), 1 / len(decided)) if weights is None else weights
