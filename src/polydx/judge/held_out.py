"""Rows set aside inside a job, to watch its training by."""

import numpy as np
import numpy.typing as npt

from polydx.judge.metrics import Mask


def draw_groups(groups: npt.NDArray[np.int64], share: float, seed: int) -> Mask:
    """Draw whole groups of near copies until they hold a share of the rows; at least one group.

    Args:
        groups: `[rows]`; rows with equal values are near copies.
        share: Of the rows, in (0, 1).
        seed: Of the draw.

    Returns:
        `[rows]`, bool: the rows drawn; all of them where they are one group.
    """
    names, sizes = np.unique(groups, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    rows_before = np.cumsum(sizes[order]) - sizes[order]
    drawn: Mask = np.isin(groups, names[order[rows_before < share * len(groups)]])
    return drawn
