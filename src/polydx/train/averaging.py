"""Weights averaged over time."""

from typing import Protocol

import torch
from torch import Tensor, nn


class WeightAverage(Protocol):
    """An average that follows a module's weights step by step.

    Attributes:
        steps: Updates so far.
        weights: The average of each parameter.
    """

    steps: int
    weights: dict[str, Tensor]

    def update(self, module: nn.Module) -> None:
        """Take in the weights after one more step."""

    def copy_to(self, module: nn.Module) -> None:
        """Give the module the averaged weights."""


class MovingAverage:
    """Exponential moving average of the parameters: a <- d a + (1 - d) w, with d = min(decay, t / (t + 10)).

    The decay rises with the steps t done (as in TensorFlow), so that the first weights don't linger.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.weights = _weights_of(module)

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the weights after one more step."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 10))
        for name, parameter in module.named_parameters():
            self.weights[name].lerp_(parameter, 1.0 - decay)

    def copy_to(self, module: nn.Module) -> None:
        """Give the module the averaged weights."""
        _copy(self.weights, module)


class PlainAverage:
    """Mean of the weights after each step from `start` on (SWA, Izmailov 2018, with a sample a step).

    The paper samples once an epoch; fine-tuning has few epochs. Its constant rate is `learning_rate_factor`'s
    `constant_from`.

    Args:
        module: Whose weights.
        start: Steps before the first one that counts.
    """

    def __init__(self, module: nn.Module, start: int) -> None:
        self.start = start
        self.steps = 0
        self.weights = _weights_of(module)

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the weights after one more step."""
        self.steps += 1
        samples = self.steps - self.start
        if samples > 0:
            for name, parameter in module.named_parameters():
                self.weights[name].lerp_(parameter, 1.0 / samples)

    def copy_to(self, module: nn.Module) -> None:
        """Give the module the averaged weights."""
        _copy(self.weights, module)


def new_average(
    module: nn.Module, decay: float | None, swa_start: float | None, steps: int
) -> MovingAverage | PlainAverage | None:
    """The average that a recipe asks for: a moving one of this decay, a plain one from this share of the steps, none.

    Raises:
        ValueError: Both are asked for.
    """
    if decay is not None and swa_start is not None:
        raise ValueError("weights are averaged by a decay or from a start on, not both")
    if decay is not None:
        return MovingAverage(module, decay)
    return None if swa_start is None else PlainAverage(module, int(swa_start * steps))


def _weights_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


@torch.no_grad()
def _copy(weights: dict[str, Tensor], module: nn.Module) -> None:
    for name, parameter in module.named_parameters():
        parameter.copy_(weights[name])
