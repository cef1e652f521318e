"""Asymmetric loss."""

import torch
from torch import Tensor
from torch.nn import functional

from polydx.train.losses.reduction import mean_over_rows


def asl(
    logits: Tensor, targets: Tensor, row_weights: Tensor, *, negative_focus: float, positive_focus: float, clip: float
) -> Tensor:
    """Asymmetric loss (Ridnik 2021): focal, with the absent side focused harder and easy absences left out.

    Present: -(1 - p)^gamma+ log p. Absent: -q^gamma- log(1 - q) with q = max(p - clip, 0). Mean over rows and labels;
    the authors' code sums, so that its size grows with the batch.

    Args:
        logits: `[batch, labels]`.
        targets: `[batch, labels]` in [0, 1]; a soft target mixes both sides.
        row_weights: `[batch]`, at least 0.
        negative_focus: gamma-, 0 or at least 1; below 1 its slope at q = 0 has no bound.
        positive_focus: gamma+, 0 or at least 1.
        clip: Probability shift m, in [0, 1).
    """
    present = -functional.logsigmoid(logits) * (-logits).sigmoid() ** positive_focus
    kept = ((-logits).sigmoid() + clip).clamp(min=torch.finfo(logits.dtype).tiny, max=1.0)
    absent = -kept.log() * (1 - kept) ** negative_focus
    return mean_over_rows(targets * present + (1 - targets) * absent, row_weights)
