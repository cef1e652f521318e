"""Prior-corrected logits."""

import torch
from torch import Tensor


def log_odds(positives: Tensor, rows: int) -> Tensor:
    """log(pi / (1 - pi)) of each label's rate pi, `[labels]`; half a row is added to either side.

    Logit adjustment (Menon 2021, for labels one by one) adds these to the logits while training and leaves them out
    when predicting: the model learns what speaks for a label beyond its rate, and a rare label gets its chance.

    Args:
        positives: `[labels]`, rows that have the label.
        rows: Rows in all.
    """
    return torch.log((positives + 0.5) / (rows - positives + 0.5))
