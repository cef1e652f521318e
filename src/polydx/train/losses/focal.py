"""Focal loss, for each label by itself."""

from torch import Tensor
from torch.nn import functional

from polydx.train.losses.reduction import mean_over_rows


def focal(logits: Tensor, targets: Tensor, row_weights: Tensor, *, focus: float, positive_share: float) -> Tensor:
    """Focal loss (Lin 2017): -alpha_t (1 - p_t)^gamma log p_t, mean over rows and labels.

    The paper divides by the number of positives of a batch; the mean keeps its size from hanging on them.

    Args:
        logits: `[batch, labels]`.
        targets: `[batch, labels]` in [0, 1]; a soft target mixes both sides.
        row_weights: `[batch]`, at least 0.
        focus: gamma, 0 or at least 1.
        positive_share: alpha, the weight of the present side; the absent side has 1 - alpha.
    """
    present = positive_share * (-logits).sigmoid() ** focus * functional.softplus(-logits)
    absent = (1 - positive_share) * logits.sigmoid() ** focus * functional.softplus(logits)
    return mean_over_rows(targets * present + (1 - targets) * absent, row_weights)
