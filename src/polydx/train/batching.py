"""Batches of similar length: less padding, still a different order in every epoch."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from polydx.model.tokens import IntArray

POOL_BATCHES = 50
"""Batches that are sorted by length together. More would pad less, but make batches of one length follow each other."""


@dataclass(frozen=True)
class Plan:
    """The steps of a training.

    Attributes:
        batches: Rows of each step. Within an epoch each row occurs once.
        epoch_ends: Steps done at the end of each epoch; the last may end after the last step. Under a token budget
            epochs differ in their number of steps.
        mean_rows: Mean rows a step, where a step weighs by its rows; None where all weigh alike.
    """

    batches: list[IntArray]
    epoch_ends: tuple[int, ...]
    mean_rows: float | None

    def steps_in(self, epochs: float) -> float:
        """Steps in so many passes, in part of one in proportion."""
        return _steps_in(epochs, self.epoch_ends)

    def weight(self, step: int) -> float:
        """What a step's mean loss weighs."""
        return 1.0 if self.mean_rows is None else len(self.batches[step]) / self.mean_rows


def plan_batches(lengths: IntArray, batch_size: int, epochs: float, seed: int, batch_tokens: int | None = None) -> Plan:
    """Lay out every step; part of an epoch is rounded up to whole steps.

    Rows are shuffled, sorted by length within pools of about `POOL_BATCHES` batches, and the batches shuffled again.

    With a fixed number of rows all steps weigh alike, and only those of an epoch's last, smaller batch count for more.
    Under a token budget a step has few long rows or many short ones. Were its mean loss to weigh 1, a long row would
    count for more by design; so it weighs its rows over the mean number of rows a step, 1 in the mean, and every row
    counts the same in the sum of all steps' gradients. That holds for losses that are a mean over rows; of F1 losses
    the batches of more rows count for more, and clipping bounds each step's gradient with its weight.

    Args:
        lengths: `[rows]`, tokens of each row, above 0.
        batch_size: Most rows a batch; without a budget only an epoch's last one may be smaller.
        epochs: Passes, fractions allowed.
        seed: The plan depends on it and the other arguments only.
        batch_tokens: Most padded tokens a batch; a longer row is a batch by itself. None for no bound.
    """
    draw = np.random.default_rng(seed)
    batches: list[IntArray] = []
    ends: list[int] = []
    while len(ends) < epochs:
        batches.extend(_one_epoch(lengths, batch_size, batch_tokens, draw))
        ends.append(len(batches))
    mean_rows = None if batch_tokens is None else len(ends) * len(lengths) / len(batches)
    return Plan(batches[: math.ceil(_steps_in(epochs, ends))], tuple(ends), mean_rows)


def _steps_in(epochs: float, epoch_ends: Sequence[int]) -> float:
    return float(np.interp(epochs, range(len(epoch_ends) + 1), [0, *epoch_ends]))


def _one_epoch(
    lengths: IntArray, batch_size: int, batch_tokens: int | None, draw: np.random.Generator
) -> list[IntArray]:
    order = draw.permutation(len(lengths))
    usual = batch_size if batch_tokens is None else min(batch_size, max(1, int(batch_tokens / lengths.mean())))
    pool = usual * POOL_BATCHES
    batches: list[IntArray] = []
    for start in range(0, len(order), pool):
        rows = order[start : start + pool]
        batches.extend(rows[part] for part in batches_by_tokens(lengths[rows], batch_tokens, batch_size))
    return [batches[index] for index in draw.permutation(len(batches))]


def split_batch(rows: IntArray, micro_batches: int, rank: int = 0, size: int = 1) -> list[tuple[IntArray, float]]:
    """What one process computes of a step: the rows of each micro-batch, and what its mean loss weighs.

    Over all micro-batches and processes the weights add up to 1, in proportion to rows: gradients of a loss that is a
    mean over rows add up to the whole batch's. Micro-batches are neighbours in length, and processes take turns in one.
    One with fewer rows than processes is computed by each of them, at an equal share of its weight; counts of F1 losses
    are then all multiplied alike, which changes no F1.

    Args:
        rows: `[batch]`, of the step.
        micro_batches: How many to split it into; at most one a row.
        rank: The process.
        size: How many processes there are.
    """
    shares: list[tuple[IntArray, float]] = []
    for part in np.array_split(rows, min(micro_batches, len(rows))):
        if len(part) < size:
            shares.append((part, len(part) / len(rows) / size))
        else:
            own = part[rank::size]
            shares.append((own, len(own) / len(rows)))
    return shares


def batches_by_tokens(lengths: IntArray, token_budget: int | None, most_rows: int | None = None) -> Iterator[IntArray]:
    """Rows in order of length, as many a batch as fit into a budget (at least one row).

    Args:
        lengths: `[rows]`, tokens of each row.
        token_budget: Most padded tokens a batch; None for no bound.
        most_rows: Most rows a batch; None for no bound.
    """
    order = np.argsort(lengths, kind="stable")
    rising = lengths[order].tolist()
    start = 0
    while start < len(order):
        last = len(order) if most_rows is None else min(start + most_rows, len(order))
        stop = start + 1
        while stop < last and (token_budget is None or (stop + 1 - start) * rising[stop] <= token_budget):
            stop += 1
        yield order[start:stop]
        start = stop


def padding_share(lengths: IntArray, plan: list[IntArray]) -> float:
    """Share of the padded positions in all batches of a plan."""
    real = sum(int(lengths[rows].sum()) for rows in plan)
    padded = sum(int(lengths[rows].max()) * len(rows) for rows in plan)
    return 1.0 - real / padded
