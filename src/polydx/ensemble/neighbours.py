"""What the records nearest by record number say: a leak where numbers were given out by department.

It wins leaderboards and means nothing for new patients, so it is off by default (`stack.record_number`). Any other
order will do, as ranks. In windows and kernels a record's own number never counts among its neighbours, so that not
even a caller who hands over the record itself shows it its own label.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.ensemble.runs import find_runs
from polydx.judge.metrics import Mask, Scores

Numbers = npt.NDArray[np.float64]
Values = Floats | Scores | Mask

_DISTANT = 0.1
"""The overall rates' weight beside a kernel's: that of a neighbour 2.3 bandwidths away."""


def view_names(widths: Sequence[int]) -> list[str]:
    """What the views of `label_rates` are called, in their order."""
    if not widths:
        return []
    nearest = [f"rate among {2 * width} neighbours" for width in widths]
    return [*nearest, *(f"rate by a kernel of {width} numbers" for width in widths), "rate in its run"]


def label_rates(numbers: Numbers, labelled: Numbers, targets: Mask, widths: Sequence[int]) -> Floats:
    """Label rates around records: among the nearest, by kernels and in their runs.

    Args:
        numbers: `[rows]`, whole record numbers to describe; NaN where a record has none.
        labelled: `[labelled rows]`, record numbers of labelled records; NaN where a record has none.
        targets: `[labelled rows, labels]`, bool.
        widths: Neighbours on either side and kernels' bandwidths; without any there is no view.

    Returns:
        `[views, rows, labels]`, float32 in [0, 1], as `view_names` calls them.
    """
    if not widths:
        return np.empty((0, len(numbers), targets.shape[1]), dtype=np.float32)
    nearest = nearest_rates(numbers, labelled, targets, widths)
    kernels = kernel_rates(numbers, labelled, targets, widths)
    return np.concatenate([nearest, kernels, run_rates(numbers, labelled, targets)[None]])


def nearest_rates(numbers: Numbers, known: Numbers, values: Values, widths: Sequence[int]) -> Floats:
    """Mean of the values (labels or probabilities) among the `width` known records on either side by number.

    A record without a number, and one whose neighbours have none, gets the overall mean.

    Args:
        numbers: `[rows]`, record numbers to describe; NaN where a record has none.
        known: `[known rows]`, record numbers of the records with values; NaN where a record has none.
        values: `[known rows, labels]`.
        widths: Neighbours on either side, for each width.

    Returns:
        `[widths, rows, labels]`, float32.
    """
    overall = values.mean(axis=0)
    order = _by_number(known)
    before = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values[order], axis=0, dtype=np.float64)])
    lower = np.searchsorted(known[order], numbers, side="left")
    upper = np.searchsorted(known[order], numbers, side="right")
    rates = np.empty((len(widths), len(numbers), values.shape[1]), dtype=np.float32)
    for index, width in enumerate(widths):
        first, last = np.maximum(lower - width, 0), np.minimum(upper + width, len(order))
        count = (lower - first + last - upper)[:, None]
        total = before[lower] - before[first] + before[last] - before[upper]
        rates[index] = np.where(count > 0, total / np.maximum(count, 1), overall)
    rates[:, np.isnan(numbers)] = overall
    return rates


def kernel_rates(numbers: Numbers, known: Numbers, values: Values, bandwidths: Sequence[float]) -> Floats:
    """Mean of the values weighted by exp(-distance / bandwidth), the overall mean standing beside them with `_DISTANT`.

    Args:
        numbers: `[rows]`, record numbers to describe; NaN where a record has none.
        known: `[known rows]`, record numbers of the records with values; NaN where a record has none.
        values: `[known rows, labels]`, labels or probabilities.
        bandwidths: In record numbers.

    Returns:
        `[bandwidths, rows, labels]`, float32.
    """
    overall = values.mean(axis=0)
    order = _by_number(known)
    counted = np.column_stack([values[order], np.ones(len(order))]).astype(np.float64)
    rates = np.empty((len(bandwidths), len(numbers), values.shape[1]), dtype=np.float32)
    for index, bandwidth in enumerate(bandwidths):
        below = _decayed(numbers / bandwidth, known[order] / bandwidth, counted)
        above = _decayed(-numbers / bandwidth, -known[order][::-1] / bandwidth, counted[::-1])
        both = below + above
        rates[index] = (both[:, :-1] + _DISTANT * overall) / (both[:, -1:] + _DISTANT)
    rates[:, np.isnan(numbers)] = overall
    return rates


def run_rates(numbers: Numbers, labelled: Numbers, targets: Mask) -> Floats:
    """Label rates of the runs that the records lie in: `[rows, labels]`, float32; arguments as of `label_rates`."""
    rates = np.empty((len(numbers), targets.shape[1]), dtype=np.float32)
    rates[:] = targets.mean(axis=0)
    places, first = np.unique(labelled, return_index=True)
    finite = ~np.isnan(places)
    described = ~np.isnan(numbers)
    if finite.any() and described.any():
        runs = find_runs(places[finite], targets[first[finite]])
        rates[described] = runs.rates_at(numbers[described])
    return rates


def fold_safe_rates(
    numbers: Numbers,
    targets: Mask,
    fold_of_row: npt.NDArray[np.int64],
    hidden: frozenset[int],
    widths: Sequence[int],
) -> Floats:
    """Label rates around labelled rows for a model that may not see the labels of the hidden folds.

    A row outside the hidden folds sees neither those nor its own fold; a row inside sees none of the hidden ones and,
    in turn, misses one of the others, so that in fitting and in scoring a row has equally many labelled neighbours.

    Args:
        numbers: `[rows]`, record numbers.
        targets: `[rows, labels]`, bool.
        fold_of_row: `[rows]`, from 0.
        hidden: Folds whose labels nobody sees.
        widths: As of `label_rates`.

    Returns:
        `[views, rows, labels]`, float32 in [0, 1].
    """
    folds = range(int(fold_of_row.max()) + 1)
    visible = [fold for fold in folds if fold not in hidden]
    rates = np.empty((len(view_names(widths)), *targets.shape), dtype=np.float32)
    for fold in folds:
        rows = fold_of_row == fold
        missing = fold if fold in visible else visible[fold % len(visible)]
        seen = np.isin(fold_of_row, [other for other in visible if other != missing])
        rates[:, rows] = label_rates(numbers[rows], numbers[seen], targets[seen], widths)
    return rates


def unlabelled_rates(
    numbers: Numbers,
    labelled: Numbers,
    targets: Mask,
    fold_of_row: npt.NDArray[np.int64],
    widths: Sequence[int],
) -> Floats:
    """Label rates around rows without labels (test rows), with one fold at a time left out, as in `fold_safe_rates`.

    Args:
        numbers: `[rows]`, their record numbers.
        labelled: `[labelled rows]`, the labelled records' numbers.
        targets: `[labelled rows, labels]`, bool.
        fold_of_row: `[labelled rows]`, from 0.
        widths: As of `label_rates`.

    Returns:
        `[folds, views, rows, labels]`, float32 in [0, 1]: once for each fold left out.
    """
    return np.stack(
        [
            label_rates(numbers, labelled[fold_of_row != fold], targets[fold_of_row != fold], widths)
            for fold in range(int(fold_of_row.max()) + 1)
        ]
    )


def neighbour_opinions(
    numbers: Numbers, labelled: Numbers, unlabelled: Numbers, oof: Floats, predictions: Floats, widths: Sequence[int]
) -> Floats:
    """What the members say of a record's neighbours, the unlabelled ones too, by kernels of several widths.

    The neighbours' probabilities stand in for the labels that nobody has. Everyone's neighbours have them, so they are
    as dense in fitting as in scoring. A labelled neighbour's are out of fold; for labelled records only those of their
    own fold may be handed over, since other folds' models saw the records' own labels.

    Args:
        numbers: `[rows]`, record numbers to describe.
        labelled: `[labelled rows]`, record numbers; NaN where a record has none.
        unlabelled: `[unlabelled rows]`, record numbers; NaN where a record has none.
        oof: `[members, labelled rows, labels]`, float32, out-of-fold probabilities.
        predictions: `[members, unlabelled rows, labels]`, float32, by one fold's models, as sharp as `oof`.
        widths: The kernels' bandwidths.

    Returns:
        `[widths, rows, labels]`, float32 in [0, 1]: means over the members.
    """
    if not widths:
        return np.empty((0, len(numbers), oof.shape[2]), dtype=np.float32)
    opinions = np.concatenate([oof.mean(axis=0), predictions.mean(axis=0)])
    return kernel_rates(numbers, np.concatenate([labelled, unlabelled]), opinions, widths)


def _by_number(known: Numbers) -> npt.NDArray[np.int64]:
    """Places of the records that have a number, by number."""
    numbered = np.flatnonzero(~np.isnan(known))
    return numbered[np.argsort(known[numbered], kind="stable")]


def _decayed(asking: Numbers, known: Numbers, values: Scores) -> Scores:
    """Sum of `exp(known - asking) * values` over all known places strictly below each asking one.

    Args:
        asking: `[rows]`; NaN gives an arbitrary finite answer.
        known: `[known rows]`, increasing.
        values: `[known rows, columns]`.
    """
    sums = np.zeros((len(known) + 1, values.shape[1]))
    decay = np.exp(-np.diff(known, prepend=known[:1]))
    for place in range(len(known)):
        sums[place + 1] = sums[place] * decay[place] + values[place]
    below = np.searchsorted(known, asking, side="left")
    distance = np.where(below > 0, asking - np.append(np.inf, known)[below], np.inf)
    found: Scores = sums[below] * np.exp(-np.nan_to_num(distance, nan=np.inf))[:, None]
    return found
