"""Distribution-balanced loss."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from polydx.model.label_rates import log_odds
from polydx.train.losses.reduction import mean_over_rows


@dataclass(frozen=True)
class BalancedShape:
    """Values inside the loss: the paper's, but for those of the smoothed weights, as tuned for text by Huang 2021.

    Attributes:
        floor: alpha, the least weight.
        slope: beta, above 0: how fast a weight rises with r.
        centre: gamma (the paper's mu), the r at which a weight is half-way up.
        negative_scale: lambda, above 0: an absent label's logit is scaled up and its loss down by this.
        bias_scale: kappa: the class-specific bias is so many times the log-odds of the label's rate.
        focus: The focal power, 0 or at least 1.
    """

    floor: float = 0.1
    slope: float = 10.0
    centre: float = 0.9
    negative_scale: float = 2.0
    bias_scale: float = 0.05
    focus: float = 2.0


def distribution_balanced(
    logits: Tensor, targets: Tensor, row_weights: Tensor, positives: Tensor, rows: int, shape: BalancedShape
) -> Tensor:
    """Distribution-balanced focal loss (Wu 2020), mean over rows and labels.

    Weights: a row that was drawn for one label brings its others along. r is the chance that label l drew the row over
    the chance that any of its labels did, (1 / n_l) / sum over its labels of 1 / n, smoothed to
    alpha + sigma(beta (r - gamma)). A row without labels was drawn for none: the limit alpha + 1.
    Negative tolerance: with v = z + kappa log(pi / (1 - pi)), the present side is BCE of v, the absent side BCE of
    lambda v over lambda. Focal: times (1 - p_t)^focus.

    The authors' code also divides the bias by lambda and doubles the result; the paper does neither.

    Args:
        logits: `[batch, labels]`, z.
        targets: `[batch, labels]` in [0, 1]; a soft target counts as so much of a label.
        row_weights: `[batch]`, at least 0.
        positives: `[labels]`, n, training rows that have the label.
        rows: Training rows in all.
        shape: alpha, beta, gamma, lambda, kappa and the focal power.
    """
    rarity = 1 / positives.clamp_min(1)
    drawn = (targets * rarity).sum(1, keepdim=True)
    balance = shape.floor + (shape.slope * (rarity / drawn - shape.centre)).sigmoid()
    biased = logits + shape.bias_scale * log_odds(positives, rows)
    present = functional.softplus(-biased) * (-biased).sigmoid() ** shape.focus
    scaled = shape.negative_scale * biased
    absent = functional.softplus(scaled) * scaled.sigmoid() ** shape.focus / shape.negative_scale
    return mean_over_rows(balance * (targets * present + (1 - targets) * absent), row_weights)
