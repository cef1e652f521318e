"""Distribution-balanced loss."""

from torch import Tensor
from torch.nn import functional

from polydx.train.losses.logit_adjustment import log_odds
from polydx.train.losses.reduction import mean_over_rows

SMOOTH_FLOOR, SMOOTH_SLOPE, SMOOTH_CENTRE = 0.1, 10.0, 0.9
"""alpha, beta and gamma (the paper's mu) of the smoothed weights, as tuned for text by Huang 2021."""
NEGATIVE_SCALE = 2.0
"""lambda: an absent label's logit is scaled up and its loss down by this."""
BIAS_SCALE = 0.05
"""kappa: the class-specific bias is so many times the log-odds of the label's rate."""
FOCUS = 2.0


def distribution_balanced(logits: Tensor, targets: Tensor, row_weights: Tensor, positives: Tensor, rows: int) -> Tensor:
    """Distribution-balanced focal loss (Wu 2020), mean over rows and labels.

    Weights: a row that was drawn for one label brings its others along. r is the chance that label l drew the row over
    the chance that any of its labels did, (1 / n_l) / sum over its labels of 1 / n, smoothed to
    alpha + sigma(beta (r - gamma)). A row without labels was drawn for none: the limit alpha + 1.
    Negative tolerance: with v = z + kappa log(pi / (1 - pi)), the present side is BCE of v, the absent side BCE of
    lambda v over lambda. Focal: times (1 - p_t)^2.

    The authors' code also divides the bias by lambda and doubles the result; the paper does neither.

    Args:
        logits: `[batch, labels]`, z.
        targets: `[batch, labels]` in [0, 1]; a soft target counts as so much of a label.
        row_weights: `[batch]`, at least 0.
        positives: `[labels]`, n, training rows that have the label.
        rows: Training rows in all.
    """
    rarity = 1 / positives.clamp_min(1)
    drawn = (targets * rarity).sum(1, keepdim=True)
    balance = SMOOTH_FLOOR + (SMOOTH_SLOPE * (rarity / drawn - SMOOTH_CENTRE)).sigmoid()
    biased = logits + BIAS_SCALE * log_odds(positives, rows)
    present = functional.softplus(-biased) * (-biased).sigmoid() ** FOCUS
    scaled = NEGATIVE_SCALE * biased
    absent = functional.softplus(scaled) * scaled.sigmoid() ** FOCUS / NEGATIVE_SCALE
    return mean_over_rows(balance * (targets * present + (1 - targets) * absent), row_weights)
