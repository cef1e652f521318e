"""The cut of a score with the highest F1, exactly: one sort a label, for millions of rows and thousands of labels.

F1 = 2 hits / (predicted + positives) falls with every row predicted in vain, so that the best cut lies right below a
row that carries the label: only those rows are looked at once the scores are sorted. The one cut for all labels would
have to sort all (row, label) pairs; a coarse count of them tells first which few can hold it.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.judge.metrics import Mask, Scores

NOTHING_KNOWN = 1.0
"""Threshold of a label without a positive among the fitted rows."""
_LINE_LABELS = 16
"""Labels copied at once: as many float32 as a cache line holds, since a row's labels lie side by side."""
_BLOCK_CELLS = 32_000_000
"""Most cells copied at once, by each thread."""
_CHUNK_CELLS = 1_000_000
"""About as many cells are counted at once, by each thread."""
_COARSE_BITS = 14
"""Lowest bits of a float32 that the coarse count leaves out: scores apart by more than 1 in 512 are told apart."""
_BUCKETS = (int(np.float32(1).view(np.uint32)) >> _COARSE_BITS) + 1

Part = TypeVar("Part")
Result = TypeVar("Result")
Keys = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Cuts:
    """The best cut of each label.

    Attributes:
        thresholds: `[labels]`, float64: `scores >= threshold` is the best prediction; `NOTHING_KNOWN` without a
            positive.
        f1: `[labels]`, float64: its F1 on the fitted rows; 0 without a positive.
    """

    thresholds: Scores
    f1: Scores


def best_cuts(scores: Floats, targets: Mask, *, threads: int = 1, largest: float = 1.0) -> Cuts:
    """Find the cut of each label with the highest F1 on these rows, in O(rows log rows) a label.

    A threshold lies midway between the two adjacent scores that it parts: the lowest predicted score itself would shut
    out rows that come a hair below it. Of equally good cuts the one that predicts fewest rows wins.

    Args:
        scores: `[rows, labels]`, float32 in [0, largest].
        targets: `[rows, labels]`, bool.
        threads: Threads at work at once; sorting lets go of Python's lock. A thread's copies hold at most 16 labels.
        largest: Largest score that is none of the caller's mistakes.

    Raises:
        ValueError: A score lies outside the range or is NaN, or the shapes differ.
    """
    _require_same_shape(scores, targets)
    rows, labels = scores.shape
    width = max(1, min(_LINE_LABELS, _BLOCK_CELLS // max(rows, 1)))
    blocks = [slice(first, first + width) for first in range(0, labels, width)]

    def cut_block(block: slice) -> list[tuple[float, float]]:
        keys = _sorted_keys(scores[:, block], targets[:, block], largest)
        return [_best_cut(column) for column in keys]

    parts = _over(blocks, cut_block, threads)
    found = [cut for part in parts for cut in part]
    thresholds, f1 = np.array(found, dtype=np.float64).reshape(-1, 2).T
    return Cuts(thresholds, f1)


def best_pooled_cut(scores: Floats, targets: Mask, *, threads: int = 1) -> tuple[float, float]:
    """Threshold and F1 of the best cut of all (row, label) pairs by one threshold; as `best_cuts` of one long column.

    Scores are counted in buckets first. In a bucket no cut is better than one that would take its carriers alone,
    before all others, which leaves few buckets that could hold the best; the pairs in those are sorted.

    Args:
        scores: `[rows, labels]`, float32 in [0, 1].
        targets: `[rows, labels]`, bool.
        threads: Threads at work at once.

    Raises:
        ValueError: A score lies outside the range or is NaN, or the shapes differ.
    """
    _require_same_shape(scores, targets)
    step = max(1, _CHUNK_CELLS // max(scores.shape[1], 1))
    parts = [slice(first, first + step) for first in range(0, len(scores), step)]

    def count(part: slice) -> npt.NDArray[np.int64]:
        buckets = (_bits(scores[part], 1.0) >> np.uint32(_COARSE_BITS)).astype(np.int64)
        return np.stack([np.bincount(cells.ravel(), minlength=_BUCKETS) for cells in (buckets, buckets[targets[part]])])

    pairs, carried = sum(_over(parts, count, threads), np.zeros((2, _BUCKETS), dtype=np.int64))
    positives = int(carried.sum())
    if not positives:
        return NOTHING_KNOWN, 0.0
    pairs_above, carried_above = (counts[::-1].cumsum()[::-1] - counts for counts in (pairs, carried))
    hits = carried_above + carried
    reached = 2 * hits / (pairs_above + pairs + positives)
    promising = (carried > 0) & (2 * hits / (pairs_above + carried + positives) >= reached.max())
    # The threshold lies midway to the next score below, which may be in the next bucket that holds any.
    filled = np.flatnonzero(pairs)
    promising[filled[np.maximum(np.searchsorted(filled, np.flatnonzero(promising)) - 1, 0)]] = True

    def pick(part: slice) -> Keys:
        bits = _bits(scores[part], 1.0)
        picked = promising[bits >> np.uint32(_COARSE_BITS)]
        keys: Keys = (bits[picked] << np.uint32(1)) | ~targets[part][picked]
        return keys

    keys: Keys = np.sort(np.concatenate(_over(parts, pick, threads)))
    carriers = np.flatnonzero((keys & np.uint32(1)) == 0)
    bucket_of_key = keys >> np.uint32(_COARSE_BITS + 1)
    bucket = bucket_of_key[carriers]
    predicted = pairs_above[bucket] + np.searchsorted(bucket_of_key, bucket, "right") - carriers
    found = carried_above[bucket] + np.searchsorted(bucket, bucket, "right") - np.arange(len(carriers))
    return _pick_cut(keys, carriers, 2 * found / (predicted + positives))


def _over(parts: Iterable[Part], work: Callable[[Part], Result], threads: int) -> list[Result]:
    if threads == 1:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, parts))


def _require_same_shape(scores: Floats, targets: Mask) -> None:
    if scores.shape != targets.shape:
        raise ValueError(f"scores of shape {scores.shape} for targets of shape {targets.shape}")


def _bits(scores: Floats, largest: float) -> Keys:
    """A copy of the scores as integers, which from 0 on order like the floats whose bits they are.

    Raises:
        ValueError: A score lies outside [0, largest] or is NaN.
    """
    copy = np.empty(scores.shape, dtype=np.float32)
    np.add(scores, np.float32(0), out=copy, casting="same_kind")  # adding 0 turns -0 into 0
    bits = copy.view(np.uint32)
    # The bits of a negative number and of NaN lie above those of every number.
    if bits.max(initial=0) > np.float32(largest).view(np.uint32):
        raise ValueError(f"scores outside [0, {largest:g}]")
    return bits


def _sorted_keys(scores: Floats, targets: Mask, largest: float) -> Keys:
    """Scores and targets as one integer each, `[labels, rows]`, ascending.

    The top bit of a score's is free: it makes room at the bottom for the target, 0 where the label is carried, so that
    among rows with one score those come first.
    """
    keys = _bits(scores.T, largest)
    np.left_shift(keys, np.uint32(1), out=keys)
    np.bitwise_or(keys, ~targets.T, out=keys)
    keys.sort(axis=1)
    return keys


def _best_cut(keys: Keys) -> tuple[float, float]:
    """Threshold and F1 from one label's sorted keys."""
    carriers = np.flatnonzero((keys & np.uint32(1)) == 0)
    if not len(carriers):
        return NOTHING_KNOWN, 0.0
    f1 = 2 * np.arange(len(carriers), 0, -1) / (len(keys) - carriers + len(carriers))
    return _pick_cut(keys, carriers, f1)


def _pick_cut(keys: Keys, carriers: npt.NDArray[np.int64], f1: Scores) -> tuple[float, float]:
    """Threshold and F1 of the best cut, given the F1 of cutting right below each carrier, which keeps it and all above.

    Where rows share its score, that F1 counts the others of them in only below the last, which scores highest among
    them: what can't be parted is never parted.
    """
    best = len(carriers) - 1 - int(np.argmax(f1[::-1]))
    lowest = int(carriers[best])
    kept, below = _score(keys, lowest), _score(keys, lowest - 1) if lowest else 0.0
    # A comparison with float32 scores rounds the threshold: between neighbours it may fall on the lower one.
    middle = float(np.float32((kept + below) / 2))
    return middle if middle > below else kept, float(f1[best])


def _score(keys: Keys, place: int) -> float:
    return float((keys[place] >> np.uint32(1)).view(np.float32))
