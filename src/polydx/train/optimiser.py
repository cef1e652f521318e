"""The optimiser and its schedule."""

from collections.abc import Callable

import torch
from torch import nn


def new_optimiser(
    task: nn.Module,
    learning_rate: float,
    head_learning_rate: float,
    weight_decay: float,
    is_head: Callable[[str], bool],
) -> torch.optim.AdamW:
    """AdamW with a rate for the encoder and one for the head, and no decay on biases and norms.

    Each parameter group carries its peak rate as `peak`; the loop sets `lr` from it.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in task.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((is_head(name), parameter.ndim > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": 0.0,
                "peak": head_learning_rate if head else learning_rate,
                "weight_decay": weight_decay if decays else 0.0,
            }
            for (head, decays), parameters in groups.items()
        ],
        fused=True,
    )


def learning_rate_factor(step: int, steps: int, warmup_share: float) -> float:
    """Linear warm-up from above zero to 1, then linear decay that would reach zero one step after the last.

    Args:
        step: 0-based number of the step.
        steps: Steps in all.
        warmup_share: Share of the steps spent warming up.
    """
    warmup = round(warmup_share * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (steps - step) / (steps - warmup)
