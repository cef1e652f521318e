"""Fusing the members' probabilities: pure functions on `[members, rows, labels]`, float32 in [0, 1].

Every mean takes weights, `[members]` or `[members, labels]`, float64, not negative, summing to one over the members;
none means equal ones. `weights` finds them. Soft voting is `arithmetic_mean`; `voting` has the hard kinds.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.ensemble.odds import logit, probability
from polydx.ensemble.quantiles import rank_shares, values_at

Weights = npt.NDArray[np.float64]
_SMALLEST = np.float32(1e-6)
"""The geometric mean takes no probability for smaller, so that one member alone can't rule a label out."""


def arithmetic_mean(members: Floats, weights: Weights | None = None) -> Floats:
    """Sum of w p: `[rows, labels]`."""
    if weights is None:
        fused: Floats = members.mean(axis=0)
        return fused
    narrow = weights.astype(np.float32)
    fused = np.tensordot(narrow, members, axes=1) if narrow.ndim == 1 else np.einsum("ml,m...l->...l", narrow, members)
    # Weights are rounded, so that a sum of certainties may exceed 1 by an ulp.
    return np.minimum(fused, np.float32(1))


def geometric_mean(members: Floats, weights: Weights | None = None) -> Floats:
    """exp(sum of w log p): `[rows, labels]`; a label needs every member's support."""
    return _inside(np.exp(_sum(members, weights, lambda member: np.log(np.maximum(member, _SMALLEST)))))


def log_odds_mean(members: Floats, weights: Weights | None = None) -> Floats:
    """The geometric mean for and against, brought to one: the probability at the mean log-odds; `[rows, labels]`."""
    return probability(_sum(members, weights, logit))


def power_mean(members: Floats, exponent: float, weights: Weights | None = None) -> Floats:
    """(sum of w p^e)^(1/e): `[rows, labels]`; above 1 the surest member counts most, below 1 the least sure.

    Raises:
        ValueError: The exponent is not positive; towards 0 the power mean becomes the geometric one.
    """
    if exponent <= 0:
        raise ValueError(f"a power mean with exponent {exponent}: it must be above 0")
    return _inside(_sum(members, weights, lambda member: member.astype(np.float64) ** exponent) ** (1 / exponent))


def rank_mean(members: Floats, references: Floats, weights: Weights | None = None) -> Floats:
    """Mean of the members' ranks, read as probabilities again: `[rows, labels]`.

    Ranks make members alike that are calibrated differently. A bare rank says nothing of how frequent a label is,
    though, and thresholds are pulled towards one for all labels: so the mean rank is answered with the plain mean's
    probability that stands at this place.

    Args:
        members: `[members, rows, labels]`.
        references: `[members, reference rows, labels]`: where the ranks are taken, the rows themselves or those that
            thresholds are fitted on.
        weights: As everywhere here.
    """
    of_references = _mean_rank(references, references, weights)
    standing = rank_shares(_mean_rank(members, references, weights), of_references)
    return _inside(values_at(standing, arithmetic_mean(references)))


def _mean_rank(members: Floats, references: Floats, weights: Weights | None) -> Floats:
    ranks = np.stack([rank_shares(*pair) for pair in zip(members, references, strict=True)])
    return arithmetic_mean(ranks, weights)


def _sum(
    members: Floats, weights: Weights | None, of: Callable[[Floats], Floats | npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64]:
    """Weighted sum of a function of each member, one member at a time: large members fit in memory once."""
    weights = np.full(len(members), 1 / len(members)) if weights is None else weights
    total = np.zeros(members.shape[1:])
    for member, weight in zip(members, weights, strict=True):
        total += weight * of(member)
    return total


def _inside(fused: npt.ArrayLike) -> Floats:
    """As float32 in [0, 1]: sums of rounded weights go astray by an ulp."""
    return np.clip(np.asarray(fused, dtype=np.float32), np.float32(0), np.float32(1))
