"""A differentiable stand-in for the Hamming loss."""

from torch import Tensor

from polydx.train.losses.reduction import mean_over_rows


def hamming(logits: Tensor, targets: Tensor, row_weights: Tensor) -> Tensor:
    """Expected Hamming loss, y (1 - p) + (1 - y) p, mean over rows and labels: if each answer is drawn with its p.

    The Hamming loss itself counts decisions and has no slope. This expectation of it is bounded, so that hopeless rows
    stop pulling; BCE over log 2 lies above both and is the convex choice.

    Args:
        logits: `[batch, labels]`.
        targets: `[batch, labels]` in [0, 1].
        row_weights: `[batch]`, at least 0.

    Returns:
        Scalar in [0, 1] for weights of at most 1.
    """
    return mean_over_rows(targets * (-logits).sigmoid() + (1 - targets) * logits.sigmoid(), row_weights)
