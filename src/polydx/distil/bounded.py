"""Losses that look at the teacher's error or at the side of a label."""

import torch
from torch import Tensor

from polydx.artifacts import Floats


def bounded_loss(logits: Tensor, taught: Tensor, targets: Tensor, row_weights: Tensor, margin: float) -> Tensor:
    """Teacher-bounded loss (Chen 2017): e_s where e_s + m > e_t, else 0; mean over rows and labels.

    e_s and e_t are the squared errors of the student's and the teacher's probabilities: the student is let off a label
    of a row once it beats the teacher there by the margin.

    Args:
        logits: `[batch, labels]`, of the student.
        taught: `[batch, labels]`, logits of the teacher.
        targets: `[batch, labels]`, 0 or 1.
        row_weights: `[batch]`; 0 for a row without labels.
        margin: m, at least 0.
    """
    own = (logits.sigmoid() - targets).square()
    bound = (taught.sigmoid() - targets).square()
    errors = torch.where(own + margin > bound, own, torch.zeros_like(own))
    return (errors.mean(dim=1) * row_weights).mean()


def side_weights(rates: Floats, power: float, absent: float) -> Tensor:
    """How much the absent and the present side of each label weigh in the soft loss.

    Chen 2017 weighs the soft loss by class, the background more than any object. Labels that don't exclude each other
    have a background each: its weight is the same for all, the present side's is (mean rate / rate)^power, mean 1.

    Args:
        rates: `[labels]`, share of the labelled rows that have each label, above 0.
        power: 0 weighs all labels alike, 1 makes every label's positives count the same in all.
        absent: Weight of the absent side; 1.5 for the paper's background.

    Returns:
        `[2, labels]`, float32: absent, present.
    """
    present = torch.from_numpy((rates.mean() / rates) ** power).float()
    return torch.stack([torch.full_like(present, absent), present / present.mean()])
