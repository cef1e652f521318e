"""Weights averaged over time."""

import torch
from torch import Tensor, nn


class MovingAverage:
    """Exponential moving average of the parameters: a <- d a + (1 - d) w, with d = min(decay, t / (t + 10)).

    The decay rises with the steps t done (as in TensorFlow), so that the first weights don't linger.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.weights: dict[str, Tensor] = {
            name: parameter.detach().clone() for name, parameter in module.named_parameters()
        }

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the weights after one more step."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 10))
        for name, parameter in module.named_parameters():
            self.weights[name].lerp_(parameter, 1.0 - decay)

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Give the module the averaged weights."""
        for name, parameter in module.named_parameters():
            parameter.copy_(self.weights[name])
