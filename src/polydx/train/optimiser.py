"""The optimiser and its schedule."""

import re
from collections.abc import Callable, Sequence

import torch
from torch import nn

LAYER = re.compile(r"\.layers?\.(\d+)\.")
"""The number of an encoder's layer in a parameter's name, as Hugging Face writes it."""
EMBEDDINGS = re.compile(r"(^|\.)embeddings\.")


def new_optimiser(
    task: nn.Module,
    learning_rate: float,
    head_learning_rate: float,
    weight_decay: float,
    is_head: Callable[[str], bool],
    layer_decay: float = 1.0,
) -> torch.optim.AdamW:
    """AdamW with a rate for the encoder and one for the head, and no decay on biases and norms.

    Each parameter group carries its peak rate as `peak`; the loop sets `lr` from it.

    Args:
        task: What is trained.
        learning_rate: Peak rate of the encoder's top layer.
        head_learning_rate: Peak rate of the head.
        weight_decay: Decoupled weight decay.
        is_head: Tells by a parameter's name whether it is the head's.
        layer_decay: Each layer learns at so many times the rate of the layer above it, the embeddings below the first
            (ULMFiT, Howard 2018; ELECTRA).
    """
    trained = {name: parameter for name, parameter in task.named_parameters() if parameter.requires_grad}
    above = layers_above([name for name in trained if not is_head(name)])
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in trained.items():
        peak = head_learning_rate if is_head(name) else learning_rate * layer_decay ** above[name]
        groups.setdefault((peak, parameter.ndim > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": 0.0, "peak": peak, "weight_decay": weight_decay if decays else 0.0}
            for (peak, decays), parameters in groups.items()
        ],
        fused=True,
    )


def layers_above(names: Sequence[str]) -> dict[str, int]:
    """How many of an encoder's layers lie above each parameter: 0 for the top layer's and for what is in no layer.

    Args:
        names: Full names of an encoder's parameters.
    """
    found = {name: LAYER.search(name) for name in names}
    layers = 1 + max((int(match[1]) for match in found.values() if match), default=-1)
    return {
        name: layers - 1 - int(match[1]) if match else layers if EMBEDDINGS.search(name) else 0
        for name, match in found.items()
    }


def learning_rate_factor(step: int, steps: int, warmup_share: float, constant_from: float = 1.0) -> float:
    """Linear warm-up from above zero to 1, then linear decay that would reach zero one step after the last.

    Args:
        step: 0-based number of the step.
        steps: Steps in all.
        warmup_share: Share of the steps spent warming up.
        constant_from: Share of the steps from which on the factor stays what it is, as averaging weights wants it, but
            not before the warm-up is over.
    """
    warmup = round(warmup_share * steps)
    step = min(step, constant_step(steps, warmup_share, constant_from))
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (steps - step) / (steps - warmup)


def constant_step(steps: int, warmup_share: float, constant_from: float) -> int:
    """The 0-based step from which on the rate stays what it is, at the latest the last; see `learning_rate_factor`."""
    return min(max(int(constant_from * steps), round(warmup_share * steps)), steps - 1)
