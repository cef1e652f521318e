"""Batches of similar length: less padding, still a different order in every epoch."""

import math
from collections.abc import Iterator

import numpy as np

from polydx.model.tokens import IntArray

POOL_BATCHES = 50
"""Batches that are sorted by length together. More would pad less, but make batches of one length follow each other."""


def steps_of(rows: int, batch_size: int, epochs: float) -> int:
    """Number of steps in `epochs` passes; a last incomplete batch counts, a part of an epoch is rounded up."""
    return math.ceil(epochs * math.ceil(rows / batch_size))


def plan_batches(lengths: IntArray, batch_size: int, epochs: float, seed: int) -> list[IntArray]:
    """Rows of every step, `steps_of` entries.

    Within an epoch each row occurs once. Rows are shuffled, sorted by length within pools of `POOL_BATCHES` batches,
    and the batches shuffled again.

    Args:
        lengths: `[rows]`, tokens of each row.
        batch_size: Rows a batch; the last one of an epoch may be smaller.
        epochs: Passes, fractions allowed.
        seed: The plan depends on it and the arguments above only.
    """
    steps = steps_of(len(lengths), batch_size, epochs)
    plan: list[IntArray] = []
    draw = np.random.default_rng(seed)
    while len(plan) < steps:
        plan.extend(_one_epoch(lengths, batch_size, draw))
    return plan[:steps]


def _one_epoch(lengths: IntArray, batch_size: int, draw: np.random.Generator) -> list[IntArray]:
    order = draw.permutation(len(lengths))
    pool = batch_size * POOL_BATCHES
    batches: list[IntArray] = []
    for start in range(0, len(order), pool):
        rows = order[start : start + pool]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches.extend(rows[first : first + batch_size] for first in range(0, len(rows), batch_size))
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


def batches_by_tokens(lengths: IntArray, token_budget: int) -> Iterator[IntArray]:
    """Rows in order of length, as many a batch as fit into `token_budget` padded tokens (at least one row)."""
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * lengths[order[stop]] <= token_budget:
            stop += 1
        yield order[start:stop]
        start = stop


def padding_share(lengths: IntArray, plan: list[IntArray]) -> float:
    """Share of the padded positions in all batches of a plan."""
    real = sum(int(lengths[rows].sum()) for rows in plan)
    padded = sum(int(lengths[rows].max()) * len(rows) for rows in plan)
    return 1.0 - real / padded
