"""Soft-F1 in two forms."""

import torch
from torch import Tensor

from polydx.train.distributed import ALONE, Total

FLOOR = 0.01
"""The contest form never lets an absent label's probability fall below this."""
PRESENT_FROM = 0.5
"""A row has a label from this target on: a soft one is hardly ever 0, so `above 0` would find all labels present."""


def soft_f1(logits: Tensor, targets: Tensor, row_weights: Tensor, total: Total = ALONE.total) -> Tensor:
    """1 - 2 tp / (2 tp + fp + fn) for each label, probabilities for counts; mean over labels with a positive.

    Counts are taken over the batch and weighted by row. A label without a positive in the batch, that is a row with
    weight whose target is at least 0.5, adds nothing: its term would be noise. The loss is not a mean over rows:
    micro-batches that accumulate each have counts of their own, and a smaller batch's are noisier. Processes that share
    a batch add their counts up, so that each has the whole batch's loss; weighted by shares that add up to 1, their
    gradients are the whole batch's too.

    Args:
        logits: `[batch, labels]`.
        targets: `[batch, labels]` in [0, 1].
        row_weights: `[batch]`, at least 0.
        total: Sums counts over the processes that share a batch.

    Returns:
        Scalar in [0, 1]; 0 (with a gradient of 0) when no label has a positive.
    """
    return _one_minus_f1(logits.sigmoid(), targets, row_weights, total)


def clamped_soft_f1(logits: Tensor, targets: Tensor, row_weights: Tensor, total: Total = ALONE.total) -> Tensor:
    """The form popular in contests: soft-F1 of p' = max(p (1 - y), 0.01) + p y, by precision and recall.

    An absent label that is already below 0.01 is pushed no further, and no count of predictions comes near zero.
    2 P R / (P + R) is 2 tp / (predicted + actual), which is what is computed. The usual code also divides by the labels
    that are absent from the batch, where its term is a constant 1; here they add nothing, as in `soft_f1`, and what is
    said there of micro-batches and processes holds too.

    Args:
        logits: `[batch, labels]`.
        targets: `[batch, labels]` in [0, 1].
        row_weights: `[batch]`, at least 0.
        total: Sums counts over the processes that share a batch.

    Returns:
        Scalar, at most 1; at best -0.01 / 2.01, as a present label's p' reaches 1.01.
    """
    probabilities = logits.sigmoid()
    clamped = (probabilities * (1 - targets)).clamp_min(FLOOR) + probabilities * targets
    return _one_minus_f1(clamped, targets, row_weights, total)


def _one_minus_f1(predictions: Tensor, targets: Tensor, row_weights: Tensor, total: Total) -> Tensor:
    weights = row_weights[:, None]
    positives = ((targets >= PRESENT_FROM) & (weights > 0)).to(predictions.dtype).sum(0)
    counted = [(each * weights).sum(0) for each in (predictions * targets, predictions, targets)]
    true_positives, predicted, actual, positives = total(torch.stack([*counted, positives]))
    present = positives > 0
    f1 = 2 * true_positives / (predicted + actual).clamp_min(torch.finfo(predictions.dtype).tiny)
    loss: Tensor = ((1 - f1) * present).sum() / present.sum().clamp_min(1)
    return loss
