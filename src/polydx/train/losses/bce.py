"""Binary cross-entropy, with class weights if wanted."""

from torch import Tensor
from torch.nn import functional

from polydx.train.losses.reduction import mean_over_rows


def bce(logits: Tensor, targets: Tensor, row_weights: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """-(w y log p + (1 - y) log(1 - p)), mean over rows and labels; each row's mean is multiplied by its weight.

    The divisor is the number of rows, not the sum of weights, so a weight of zero is a row that adds nothing.

    Args:
        logits: `[batch, labels]`.
        targets: `[batch, labels]` in [0, 1]; soft targets allowed.
        row_weights: `[batch]`, at least 0.
        class_weights: `[labels]`, w, the weight of each label's present side; None for 1.
    """
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none", pos_weight=class_weights)
    return mean_over_rows(losses, row_weights)


def positive_weights(positives: Tensor, rows: int, power: float) -> Tensor:
    """Class weights (absent / present)^power of each label; half a row is added to either side.

    Args:
        positives: `[labels]`, rows that have the label.
        rows: Rows in all.
        power: 0 weighs nothing, 1 gives the present side as much weight in all as the absent side.
    """
    weights: Tensor = ((rows - positives + 0.5) / (positives + 0.5)) ** power
    return weights
