"""Losses for independent labels, one file each.

Each takes logits and targets `[batch, labels]`, targets in [0, 1] so that soft pseudo-labels can teach, and row weights
`[batch]`, at least 0. A row's weight multiplies what the row adds; a row of weight 0 adds nothing, and no loss grows
with the batch. Those that are a mean over rows (divided by their number, whatever their weights) come out the same from
micro-batches that accumulate, or from processes that share a batch, as from one; `soft_f1`, `clamped_soft_f1` and
`sigmoid_f1` are not, and their docstrings say what follows.
"""

from polydx.train.losses.asl import asl
from polydx.train.losses.bce import bce, positive_weights
from polydx.train.losses.distribution_balanced import distribution_balanced
from polydx.train.losses.focal import focal
from polydx.train.losses.hamming import hamming
from polydx.train.losses.logit_adjustment import adjusted
from polydx.train.losses.sigmoid_f1 import sigmoid_f1
from polydx.train.losses.soft_f1 import clamped_soft_f1, soft_f1
from polydx.train.losses.zlpr import zlpr

__all__ = [
    "adjusted",
    "asl",
    "bce",
    "clamped_soft_f1",
    "distribution_balanced",
    "focal",
    "hamming",
    "positive_weights",
    "sigmoid_f1",
    "soft_f1",
    "zlpr",
]
