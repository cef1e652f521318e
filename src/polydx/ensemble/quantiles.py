"""Places in a distribution: ranks against a reference, and maps from one distribution to another.

None of it looks at a label. Quantiles are Hazen's: the i-th of n sorted values stands at (i - 1/2) / n.
"""

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.ensemble.cuts import NOTHING_KNOWN
from polydx.judge.metrics import Scores


def rank_shares(values: Floats, reference: Floats) -> Floats:
    """Where each value stands in the reference's distribution of its label: `[rows, labels]`, float32 in [0, 1].

    Args:
        values: `[rows, labels]`, float32.
        reference: `[reference rows, labels]`, float32; values equal to some of it stand in their middle.
    """
    shares = np.empty(values.shape, dtype=np.float32)
    for label in range(values.shape[1]):
        ordered = np.sort(reference[:, label])
        below, up_to = (np.searchsorted(ordered, values[:, label], side) for side in ("left", "right"))
        shares[:, label] = (below + up_to) / (2 * len(ordered))
    return shares


def values_at(shares: Floats, reference: Floats) -> Floats:
    """The reference's values at these places of each label: `[rows, labels]`, float32.

    Args:
        shares: `[rows, labels]` in [0, 1].
        reference: `[reference rows, labels]`, float32.
    """
    values = np.empty(shares.shape, dtype=np.float32)
    for label in range(shares.shape[1]):
        values[:, label] = _at(np.asarray(shares[:, label], dtype=np.float64), np.sort(reference[:, label]))
    return values


def match_distribution(values: Floats, reference: Floats) -> Floats:
    """Give the values of each label the reference's distribution, in their own order (quantile mapping).

    Args:
        values: `[rows, labels]`, float32.
        reference: `[reference rows, labels]`, float32.

    Returns:
        `[rows, labels]`, float32; equal values stay equal.
    """
    return values_at(rank_shares(values, values), reference)


def match_thresholds(thresholds: Scores, fitted_on: Floats, used_on: Floats) -> Scores:
    """Move each label's threshold so that it parts off the same share of rows in another distribution.

    For a model that meets records one by one and has no distribution of its own at hand to map. No shipped student is
    made so yet: `benchmarks/threshold_transfer.py` compares it with the fold students' thresholds as they are.

    Args:
        thresholds: `[labels]`.
        fitted_on: `[rows, labels]`, float32: a label that no row of these reaches gets `NOTHING_KNOWN`.
        used_on: `[other rows, labels]`, float32.

    Returns:
        `[labels]`, float64.
    """
    below = (fitted_on < thresholds).mean(axis=0)
    moved = [_at(share, np.sort(used_on[:, label])) for label, share in enumerate(below)]
    return np.where(below == 1, NOTHING_KNOWN, np.array(moved, dtype=np.float64))


def _at(shares: npt.ArrayLike, ordered: Floats) -> npt.NDArray[np.float64]:
    places = np.asarray(shares, dtype=np.float64) * len(ordered) - 0.5
    return np.interp(places, np.arange(len(ordered)), ordered)
