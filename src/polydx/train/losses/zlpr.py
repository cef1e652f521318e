"""ZLPR: zero-bounded log-sum-exp and pairwise rank-based loss."""

import torch
from torch import Tensor


def zlpr(logits: Tensor, targets: Tensor, row_weights: Tensor) -> Tensor:
    """log(1 + sum over absent e^s) + log(1 + sum over present e^-s) (Su 2022), mean over rows.

    It ranks present labels above 0 above absent ones, by the whole row rather than label by label: a row's loss grows
    with the logarithm of the labels, not with the batch. The sigmoid of s is no probability: thresholds need tuning.

    Args:
        logits: `[batch, labels]`, s.
        targets: `[batch, labels]` in [0, 1]; a soft target counts as so much of a label on either side.
        row_weights: `[batch]`, at least 0.
    """
    zero = torch.zeros_like(logits[:, :1])
    absent = torch.cat([zero, logits + (1 - targets).log()], dim=1).logsumexp(1)
    present = torch.cat([zero, targets.log() - logits], dim=1).logsumexp(1)
    return ((absent + present) * row_weights).mean()
