"""How often labels occur, as logits."""

import torch
from torch import Tensor


def log_odds(positives: Tensor, rows: int) -> Tensor:
    """log(pi / (1 - pi)) of each label's rate pi, `[labels]`; half a row is added to either side, so that it is finite.

    Args:
        positives: `[labels]`, rows that have the label.
        rows: Rows in all.
    """
    return torch.log((positives + 0.5) / (rows - positives + 0.5))
