"""How the losses of single answers become one number."""

from torch import Tensor


def mean_over_rows(losses: Tensor, row_weights: Tensor) -> Tensor:
    """Mean over labels, times the row's weight, mean over rows: a scalar.

    Args:
        losses: `[batch, labels]`.
        row_weights: `[batch]`, at least 0.
    """
    return (losses.mean(dim=1) * row_weights).mean()
