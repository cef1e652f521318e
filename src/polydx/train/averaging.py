"""Weights averaged over time."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from polydx.train.optimiser import constant_step


class WeightAverage:
    """An average of a module's parameters that follows them step by step: a <- a + s (w - a).

    Args:
        module: Whose weights; the average starts from them.
        share_at: Gives s, in [0, 1], by the number of steps done.

    Attributes:
        steps: Updates so far.
        weights: The average of each parameter.
    """

    def __init__(self, module: nn.Module, share_at: Callable[[int], float]) -> None:
        self.share_at = share_at
        self.steps = 0
        self.weights: dict[str, Tensor] = {
            name: parameter.detach().clone() for name, parameter in module.named_parameters()
        }

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the weights after one more step."""
        self.steps += 1
        share = self.share_at(self.steps)
        if share > 0:
            for name, parameter in module.named_parameters():
                self.weights[name].lerp_(parameter, share)

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Give the module the averaged weights."""
        for name, parameter in module.named_parameters():
            parameter.copy_(self.weights[name])


def moving(decay: float) -> Callable[[int], float]:
    """Shares of an exponential moving average: s = 1 - min(decay, t / (t + 10)) after t steps.

    The decay rises with the steps (as in TensorFlow), so that the first weights don't linger.
    """
    return lambda steps: 1.0 - min(decay, steps / (steps + 10))


def plain(start: int) -> Callable[[int], float]:
    """Shares of the mean of the weights after each step but the first `start` (SWA, Izmailov 2018).

    The paper samples once an epoch; fine-tuning has few epochs.
    """
    return lambda steps: 1.0 / (steps - start) if steps > start else 0.0


def new_average(
    module: nn.Module, decay: float | None, swa_start: float | None, steps: int, warmup_share: float
) -> WeightAverage | None:
    """The average that a recipe asks for: a moving one of this decay, a plain one, or none.

    The plain one starts where the rate becomes constant: after this share of the steps, and after the warm-up.

    Raises:
        ValueError: Both are asked for.
    """
    if decay is not None and swa_start is not None:
        raise ValueError("weights are averaged by a decay or from a start on, not both")
    if decay is not None:
        return WeightAverage(module, moving(decay))
    return None if swa_start is None else WeightAverage(module, plain(constant_step(steps, warmup_share, swa_start)))
