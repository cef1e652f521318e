"""Label rates among the labelled records nearest by record number: a leak where numbers were given out by department.

It wins leaderboards and means nothing for new patients, so it is off by default (`stack.record_number`).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.judge.metrics import Mask

Numbers = npt.NDArray[np.float64]


def nearest_label_rates(numbers: Numbers, labelled: Numbers, targets: Mask, widths: Sequence[int]) -> Floats:
    """Share of each label among the `width` labelled records on either side by number.

    A record without a number, and one whose neighbours have none, gets the labels' overall rates. The caller leaves the
    record itself out of `labelled`.

    Args:
        numbers: `[rows]`, record numbers to describe; NaN where a record has none.
        labelled: `[labelled rows]`, record numbers of labelled records; NaN where a record has none.
        targets: `[labelled rows, labels]`, bool.
        widths: Neighbours on either side, for each width.

    Returns:
        `[widths, rows, labels]`, float32 in [0, 1].
    """
    overall = targets.mean(axis=0)
    known = np.flatnonzero(~np.isnan(labelled))
    order = known[np.argsort(labelled[known], kind="stable")]
    before = np.concatenate([np.zeros((1, targets.shape[1])), np.cumsum(targets[order], axis=0)])
    place = np.searchsorted(labelled[order], numbers)
    rates = np.empty((len(widths), len(numbers), targets.shape[1]), dtype=np.float32)
    for index, width in enumerate(widths):
        first, last = np.maximum(place - width, 0), np.minimum(place + width, len(order))
        count = np.maximum(last - first, 1)[:, None]
        rates[index] = np.where((last > first)[:, None], (before[last] - before[first]) / count, overall)
    rates[:, np.isnan(numbers)] = overall
    return rates


def fold_safe_rates(
    numbers: Numbers,
    targets: Mask,
    fold_of_row: npt.NDArray[np.int64],
    hidden: frozenset[int],
    widths: Sequence[int],
) -> Floats:
    """Neighbour rates of labelled rows for a model that may not see the labels of the hidden folds.

    A row outside the hidden folds sees neither those nor its own fold; a row inside sees none of the hidden ones and,
    in turn, misses one of the others, so that in fitting and in scoring a row has equally many labelled neighbours.

    Args:
        numbers: `[rows]`, record numbers.
        targets: `[rows, labels]`, bool.
        fold_of_row: `[rows]`, from 0.
        hidden: Folds whose labels nobody sees.
        widths: Neighbours on either side, for each width.

    Returns:
        `[widths, rows, labels]`, float32 in [0, 1].
    """
    folds = range(int(fold_of_row.max()) + 1)
    visible = [fold for fold in folds if fold not in hidden]
    rates = np.empty((len(widths), *targets.shape), dtype=np.float32)
    for fold in folds:
        rows = fold_of_row == fold
        missing = fold if fold in visible else visible[fold % len(visible)]
        seen = np.isin(fold_of_row, [other for other in visible if other != missing])
        rates[:, rows] = nearest_label_rates(numbers[rows], numbers[seen], targets[seen], widths)
    return rates


def unlabelled_rates(
    numbers: Numbers,
    labelled: Numbers,
    targets: Mask,
    fold_of_row: npt.NDArray[np.int64],
    widths: Sequence[int],
) -> Floats:
    """Neighbour rates of rows without labels (test rows), with one fold at a time left out, as in `fold_safe_rates`.

    Args:
        numbers: `[rows]`, their record numbers.
        labelled: `[labelled rows]`, the labelled records' numbers.
        targets: `[labelled rows, labels]`, bool.
        fold_of_row: `[labelled rows]`, from 0.
        widths: Neighbours on either side, for each width.

    Returns:
        `[folds, widths, rows, labels]`, float32 in [0, 1]: one reading for each fold left out.
    """
    return np.stack(
        [
            nearest_label_rates(numbers, labelled[fold_of_row != fold], targets[fold_of_row != fold], widths)
            for fold in range(int(fold_of_row.max()) + 1)
        ]
    )
