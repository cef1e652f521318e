"""Fewer rows to learn a rare label from: the positives, and negatives that stand for the rest by their weights."""

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.judge.metrics import Mask

Integers = npt.NDArray[np.int64]
FEWEST_ROWS = 2_000
"""A label's rows are sampled where it has more than about so many; fewer cost next to nothing."""
NEGATIVES = 10
"""Negatives for each positive among the evenly drawn ones: more controls for a case hardly sharpen a fit."""
KEENNESS = 10.0
"""A row that the first fit gets wrong by more than 1 / KEENNESS is always kept, the c of Fithian and Hastie."""


def thin_negatives(targets: Mask, most: int, draw: np.random.Generator) -> tuple[list[Integers], float]:
    """Keep all positives, and as many negatives of each label, drawn alike, as bring the table near `most` rows.

    Args:
        targets: `[rows, labels]`, bool, of the labels that share a model.
        most: Rows of the table, over all labels; a single label keeps all its rows.
        draw: Draws the rows.

    Returns:
        The rows kept of each label, and how many negatives each kept negative stands for.
    """
    positives = int(targets.sum())
    share = max(most - positives, positives) / max(targets.size - positives, 1)
    if share >= 1.0 or targets.shape[1] == 1:
        return [np.arange(len(targets))] * targets.shape[1], 1.0
    return [np.flatnonzero(column | (draw.random(len(column)) < share)) for column in targets.T], 1.0 / share


def local_case_control(
    wanted: Mask, expected: Floats, labels: int, draw: np.random.Generator
) -> tuple[Integers, Floats]:
    """Keep the rows that a first fit gets wrong, and few of those that it gets right.

    As in local case-control sampling (Fithian and Hastie 2014, Annals of Statistics 42), the chance to be kept goes
    with |y - p|, the row's part in the loss's slope, p being the first fit's probability. They count the kept rows
    alike and put right the coefficients afterwards, which trees don't have; here a row counts 1 / chance (the weight of
    Horvitz and Thompson), so that the sampled loss is the whole one on average, whatever the first fit is worth. A
    negative adds at most p^2 / chance <= p / KEENNESS to the variance of the slope, small beside its p (1 - p). Every
    positive is kept, and every row has a least chance, so that trees also find what the first fit is confidently wrong
    about, and no weight grows huge.

    Args:
        wanted: `[rows]`, bool: of all labels that share a model, one after another.
        expected: `[rows]`, probabilities by the first fit.
        labels: How many labels these are.
        draw: Draws the rows.

    Returns:
        Places kept, increasing, and the weight of each, float32; all of them where they are few.
    """
    evenly = max(FEWEST_ROWS * labels, NEGATIVES * int(wanted.sum()))
    if evenly >= len(wanted):
        return np.arange(len(wanted)), np.ones(len(wanted), dtype=np.float32)
    chance = np.clip(KEENNESS * expected, evenly / len(wanted), 1.0)
    chance[wanted] = 1.0
    kept = np.flatnonzero(draw.random(len(wanted)) < chance)
    return kept, (1 / chance[kept]).astype(np.float32)
