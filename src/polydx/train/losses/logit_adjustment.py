"""Prior-corrected logits."""

from torch import Tensor

from polydx.model.label_rates import log_odds


def adjusted(logits: Tensor, positives: Tensor, rows: int, strength: float) -> Tensor:
    """Logit adjustment (Menon 2021, for labels one by one): each label's log-odds are added to its logit.

    They are added while training and left out when predicting: the model learns what speaks for a label beyond its
    rate, and a rare label gets its chance.

    Args:
        logits: `[batch, labels]`.
        positives: `[labels]`, training rows that have the label.
        rows: Training rows in all.
        strength: How often they are added; 1 is the paper's.

    Returns:
        `[batch, labels]`.
    """
    return logits + strength * log_odds(positives, rows)
