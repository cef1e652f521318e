"""Losses for independent labels. Each takes logits and targets `[batch, labels]`, float32."""

import torch
from torch import Tensor
from torch.nn import functional


def bce(logits: Tensor, targets: Tensor, row_weights: Tensor) -> Tensor:
    """Binary cross-entropy, mean over rows and labels; each row's mean is multiplied by its weight.

    The divisor is the number of rows, not the sum of weights, so a weight of zero is a row that adds nothing.

    Args:
        logits: `[batch, labels]`.
        targets: `[batch, labels]` in [0, 1]; soft targets allowed.
        row_weights: `[batch]`, at least 0.
    """
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (losses.mean(dim=1) * row_weights).mean()


def soft_f1(logits: Tensor, targets: Tensor, row_weights: Tensor) -> Tensor:
    """1 - 2 tp / (2 tp + fp + fn) for each label, probabilities for counts; mean over labels with a positive.

    Counts are taken over the batch and weighted by row. A label without a positive in the batch adds nothing: its term
    would be noise. The loss is not a mean over rows: accumulating small batches, or splitting one over devices, changes
    it unless the counts are gathered first.

    Args:
        logits: `[batch, labels]`.
        targets: `[batch, labels]` in [0, 1].
        row_weights: `[batch]`, at least 0.

    Returns:
        Scalar in [0, 1]; 0 (with a gradient of 0) when no label has a positive.
    """
    probabilities = logits.sigmoid()
    weights = row_weights[:, None]
    true_positives = (probabilities * targets * weights).sum(0)
    predicted = (probabilities * weights).sum(0)
    actual = (targets * weights).sum(0)
    present = actual > 0
    f1 = 2 * true_positives / (predicted + actual).clamp_min(torch.finfo(logits.dtype).tiny)
    return ((1 - f1) * present).sum() / present.sum().clamp_min(1)
