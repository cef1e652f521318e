"""How warm the soft targets are over the training: fixed, annealed, or learned against the student."""

import math

import torch
from torch import Tensor, nn

from polydx.names import TemperatureSchedule

LOWEST = 1.0
"""Bounds of a learned temperature; CTKD has 1 and 21 for one softmax over many classes."""
HIGHEST = 10.0


class Temperature(nn.Module):
    """T by the share of training done: fixed, or annealed linearly from `start` to `end`."""

    def __init__(self, start: float, end: float) -> None:
        super().__init__()
        self.start = start
        self.end = end

    def forward(self, progress: float) -> float:
        """T at `progress` in [0, 1)."""
        return self.start + (self.end - self.start) * progress


class LearnedTemperature(nn.Module):
    """Curriculum temperature (CTKD, Li 2023): one T learned through a reversed gradient.

    T = LOWEST + (HIGHEST - LOWEST) sigmoid(p). The student lowers the divergence from its teacher and p raises it, ever
    more: the gradient of p is multiplied by -l, with l rising from 0 to 1 along half a cosine.

    Args:
        start: T at the first step, between `LOWEST` and `HIGHEST`.

    Raises:
        ValueError: It isn't between them.
    """

    def __init__(self, start: float) -> None:
        super().__init__()
        if not LOWEST < start < HIGHEST:
            raise ValueError(f"a learned temperature starts between {LOWEST} and {HIGHEST}, not at {start}")
        share = (start - LOWEST) / (HIGHEST - LOWEST)
        self.position = nn.Parameter(torch.tensor(math.log(share / (1 - share))))

    def forward(self, progress: float) -> Tensor:
        """T at `progress` in [0, 1), without dimension."""
        strength = (1 - math.cos(math.pi * progress)) / 2
        return LOWEST + (HIGHEST - LOWEST) * reverse_gradient(self.position, strength).sigmoid()


def new_temperature(schedule: TemperatureSchedule, start: float, end: float) -> Temperature | LearnedTemperature:
    """What a setting names; `end` counts only where T is annealed."""
    if schedule == "learned":
        return LearnedTemperature(start)
    return Temperature(start, end if schedule == "annealed" else start)


def reverse_gradient(value: Tensor, strength: float) -> Tensor:
    """The same value, its gradient times -strength (Ganin 2015)."""
    return value.detach() * (1 + strength) - strength * value
