"""sigmoidF1."""

from torch import Tensor

from polydx.train.distributed import ALONE, Total
from polydx.train.losses.soft_f1 import soft_f1


def sigmoid_f1(
    logits: Tensor,
    targets: Tensor,
    row_weights: Tensor,
    *,
    slope: float,
    offset: float,
    total: Total = ALONE.total,
) -> Tensor:
    """sigmoidF1 (Benedict 2021): soft-F1 with counts from sigma(beta (z + eta)), a sigmoid of tunable steepness.

    The sigmoid is applied once. The authors' PyTorch file applies it to probabilities, so a second time, and can't
    reach 0. Not a mean over rows: see `soft_f1`.

    Args:
        logits: `[batch, labels]`, z.
        targets: `[batch, labels]` in [0, 1].
        row_weights: `[batch]`, at least 0.
        slope: beta, above 0; the larger, the closer to counts of decisions.
        offset: eta; moves the decision away from logit 0.
        total: Sums counts over the processes that share a batch.

    Returns:
        Scalar in [0, 1].
    """
    return soft_f1(slope * (logits + offset), targets, row_weights, total)
