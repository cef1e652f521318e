"""How much the order of the records gives away: what the labels of a record's neighbours predict, with no text read."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student_t

from polydx.judge.metrics import Mask, ratio

Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Targets = npt.NDArray[np.float32]

FOLDS = 5
FALSE_ALARMS = 0.001
"""How often an order without information may be called a leak."""


@dataclass(frozen=True)
class OrderLeak:
    """What one order of the records predicts.

    Attributes:
        macro_f1: Macro-F1 of the neighbours' labels, out of fold, thresholds from the other folds.
        by_chance: The same after the order was shuffled, once a permutation.
        limit: Upper end of the prediction interval of one more shuffled order (one-sided, Student's t).
    """

    macro_f1: float
    by_chance: tuple[float, ...]
    limit: float

    @property
    def leaks(self) -> bool:
        """Whether the order predicts better than a shuffled one would."""
        return self.macro_f1 > self.limit

    @property
    def without(self) -> float:
        """The score without what the order says: the mean of the shuffled orders."""
        return float(np.mean(self.by_chance))

    @property
    def gain(self) -> float:
        """How much macro-F1 the order gives away."""
        return self.macro_f1 - self.without


def order_leak(
    positions: Doubles, targets: Targets, groups: Integers, *, neighbours: int, permutations: int, seed: int
) -> OrderLeak | None:
    """Predict each record's labels from the records nearest to it in an order.

    Args:
        positions: `[rows]`, finite; the record number or the row's place.
        targets: `[rows, labels]`, 0 or 1.
        groups: `[rows]`; rows with equal values, near copies, share a fold, as they do wherever this leak can be used.
        neighbours: Nearest records that are asked.
        permutations: Shuffled orders that show what chance gives, at least 2.
        seed: Seed of the folds and the shuffles.

    Returns:
        The finding, or None where there are too few groups for the folds and the neighbours.

    Raises:
        ValueError: When there are fewer than 2 permutations.
    """
    if permutations < 2:
        raise ValueError(f"chance needs at least 2 permutations for its spread, got {permutations}")
    units, unit_of_row = np.unique(groups, return_inverse=True)
    if len(units) < FOLDS * (neighbours + 1):
        return None
    draw = np.random.default_rng(seed)
    folds = draw.permutation(np.arange(len(units)) % FOLDS)[unit_of_row]
    found = _neighbour_f1(positions, targets, folds, neighbours)
    shuffled = [_neighbour_f1(draw.permutation(positions), targets, folds, neighbours) for _ in range(permutations)]
    spread = np.std(shuffled, ddof=1) * np.sqrt(1 + 1 / permutations)
    limit = np.mean(shuffled) + student_t.ppf(1 - FALSE_ALARMS, permutations - 1) * spread
    return OrderLeak(found, tuple(shuffled), float(limit))


def _neighbour_f1(positions: Doubles, targets: Targets, folds: Integers, neighbours: int) -> float:
    """Macro-F1 of the neighbours' votes.

    No label of a fold reaches its own score: its rows are judged by neighbours outside the fold, and the votes needed
    are tuned outside it too.
    """
    truth = targets > 0.5
    totals = np.zeros((3, targets.shape[1]))
    for scored in range(FOLDS):
        rows = folds == scored
        votes = _votes(positions[rows], positions[~rows], truth[~rows], neighbours)
        totals += _counts(votes >= _needed_votes(positions, truth, folds, scored, neighbours), truth[rows])
    return float(_f1(totals).mean())


def _needed_votes(positions: Doubles, truth: Mask, folds: Integers, scored: int, neighbours: int) -> Integers:
    """The fewest votes that decide for each label, best for F1 on the other folds: `[labels]`.

    The rows of those folds ask neighbours outside both their own fold and the scored one.
    """
    tuning = np.zeros((3, neighbours, truth.shape[1]))
    for inner in range(FOLDS):
        if inner != scored:
            rows, known = folds == inner, (folds != inner) & (folds != scored)
            votes = _votes(positions[rows], positions[known], truth[known], neighbours)
            for place in range(neighbours):
                tuning[:, place] += _counts(votes > place, truth[rows])
    needed: Integers = 1 + np.argmax(_f1(tuning), axis=0)
    return needed


def _votes(asking: Doubles, known: Doubles, truth: Mask, neighbours: int) -> npt.NDArray[np.int16]:
    """How many of the nearest known rows carry each label: `[asking rows, labels]`; of two as near, the lower one."""
    order = np.argsort(known, kind="stable")
    ordered = known[order]
    window = np.searchsorted(ordered, asking)[:, None] + np.arange(-neighbours, neighbours)
    inside = (window >= 0) & (window < len(ordered))
    window = np.clip(window, 0, len(ordered) - 1)
    distance = np.where(inside, np.abs(ordered[window] - asking[:, None]), np.inf)
    nearest = np.take_along_axis(window, np.argsort(distance, axis=1, kind="stable")[:, :neighbours], axis=1)
    votes = np.zeros((len(asking), truth.shape[1]), dtype=np.int16)
    for column in order[nearest].T:
        votes += truth[column]
    return votes


def _counts(decided: Mask, truth: Mask) -> Doubles:
    """True positives, decided positives and actual positives of each label: `[3, labels]`."""
    return np.stack([(decided & truth).sum(axis=0), decided.sum(axis=0), truth.sum(axis=0)]).astype(np.float64)


def _f1(counts: Doubles) -> Doubles:
    """F1 from `_counts` along the first axis; 0 where a label is neither decided nor there."""
    hits, decided, actual = counts
    return ratio(2 * hits, decided + actual)
