"""How much of a machine's matrix rate a training uses."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from polydx.model.tokens import IntArray
from polydx.train.device import matrix_rate


@dataclass(frozen=True)
class Utilisation:
    """What training computed a second, beside what the machine can.

    Attributes:
        flops_per_example: See `training_flops`.
        flops_per_second: The same, times examples a second.
        matrix_flops_per_second: Measured rate of matrix products of all processes; see `matrix_rate`.
        mfu: Share of that rate (model FLOPs utilisation, Chowdhery 2022).
    """

    flops_per_example: float
    flops_per_second: float
    matrix_flops_per_second: float
    mfu: float


def utilisation(
    flops_per_example: float, examples_per_second: float, device: torch.device, bf16: bool, processes: int = 1
) -> Utilisation:
    """Measure the machine, for about a tenth of a second, and put a training's speed beside it."""
    rate = processes * matrix_rate(device, bf16=bf16)
    flops = flops_per_example * examples_per_second
    return Utilisation(round(flops_per_example), round(flops), round(rate), round(flops / rate, 4))


def training_flops(layers: Sequence[nn.Module], lengths: IntArray, attended_tokens: int) -> float:
    """FLOPs of one forward and one backward pass, mean over records; padding is left out.

    A record of n tokens: 6 P n + 12 l d n min(n, a), that is 3 (2 P n + 4 l d n min(n, a)). Each of the P weights of
    the layers' products multiplies and adds; each of l layers of width d multiplies queries with keys, and attention
    with values; the backward pass is twice the forward (Kaplan 2020; Chowdhery 2022, appendix B). Weights that don't
    learn count their forward pass alone, and so does their share of attention, as if frozen from the bottom up.

    Left out: embeddings, head, normalisation, what perturbations and gradient checkpointing compute beside one pass.

    Args:
        layers: The l layers of an encoder that run; their linear layers multiply, and the first's input has width d.
        lengths: `[records]`, tokens.
        attended_tokens: a, the most that a token attends to: a sequence's length; features, for linear attention.
    """
    weights = [module.weight for layer in layers for module in layer.modules() if isinstance(module, nn.Linear)]
    matrix = sum(weight.numel() for weight in weights)
    learned = sum(weight.numel() for weight in weights if weight.requires_grad)
    tokens = lengths.astype(float)
    forward = 2 * matrix * tokens + 4 * len(layers) * weights[0].shape[1] * tokens * tokens.clip(max=attended_tokens)
    return float((1 + 2 * learned / matrix) * forward.mean())
