"""The loss that a member minimises: a weighted sum that may change on the way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from polydx.artifacts import Floats
from polydx.names import LossName
from polydx.train.distributed import ALONE, Total
from polydx.train.losses.asl import asl
from polydx.train.losses.bce import bce, positive_weights
from polydx.train.losses.distribution_balanced import BalancedShape, distribution_balanced
from polydx.train.losses.focal import focal
from polydx.train.losses.hamming import hamming
from polydx.train.losses.logit_adjustment import adjusted
from polydx.train.losses.sigmoid_f1 import sigmoid_f1
from polydx.train.losses.soft_f1 import clamped_soft_f1, soft_f1
from polydx.train.losses.zlpr import zlpr

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Scalar from logits, targets and row weights; see the package."""


@dataclass(frozen=True)
class LossShapes:
    """Values inside the losses; their meaning stands with each loss.

    Attributes:
        class_weight_power: Of BCE's class weights; 0 for none.
        logit_adjustment: So many times each label's log-odds are added to its logit, for all losses alike.
    """

    class_weight_power: float = 0.0
    logit_adjustment: float = 0.0
    asl_negative_focus: float = 4.0
    asl_positive_focus: float = 1.0
    asl_clip: float = 0.05
    focal_focus: float = 2.0
    focal_positive_share: float = 0.25
    sigmoid_f1_slope: float = 1.0
    sigmoid_f1_offset: float = 0.0
    balanced: BalancedShape = field(default_factory=BalancedShape)


class Objective(nn.Module):
    """Sum of losses, each times its weight at this point of the training.

    The weights are `first` until the share `ramp[0]` of the training, `later` from `ramp[1]` on, and linear between.
    Label counts are buffers, so that they move to the model's device; no checkpoint holds them.

    Args:
        first: Weight of each loss, above 0.
        later: Weights after the ramp; empty keeps the first ones.
        ramp: Two shares of the training, rising.
        targets: `[rows, labels]` in [0, 1], of the labelled rows that the model trains on: class weights, label rates.
        shapes: Values inside the losses.
        total: Sums F1 losses' counts over the processes that share a batch.
    """

    positives: Tensor

    def __init__(
        self,
        first: Mapping[LossName, float],
        later: Mapping[LossName, float],
        ramp: tuple[float, float],
        targets: Floats,
        shapes: LossShapes,
        total: Total = ALONE.total,
    ) -> None:
        super().__init__()
        later = later or first
        names = list(dict.fromkeys([*first, *later]))
        self.terms: dict[LossName, tuple[float, float]] = {
            name: (first.get(name, 0.0), later.get(name, 0.0)) for name in names
        }
        self.ramp = ramp
        self.rows = len(targets)
        self.shapes = shapes
        self.total = total
        self.register_buffer("positives", torch.from_numpy(targets.sum(axis=0)), persistent=False)

    def forward(self, logits: Tensor, targets: Tensor, row_weights: Tensor, progress: float) -> Tensor:
        """Scalar loss.

        Args:
            logits: `[batch, labels]`, float32.
            targets: `[batch, labels]` in [0, 1].
            row_weights: `[batch]`, at least 0.
            progress: Share of the training done, in [0, 1).
        """
        if self.shapes.logit_adjustment:
            logits = adjusted(logits, self.positives, self.rows, self.shapes.logit_adjustment)
        parts = [
            weight * self._loss(name)(logits, targets, row_weights)
            for name, weight in self.weights(progress).items()
            if weight > 0
        ]
        return torch.stack(parts).sum()

    def weights(self, progress: float) -> dict[LossName, float]:
        """Weight of each loss when the share `progress` of the training is done."""
        start, stop = self.ramp
        done = 0.0 if progress < start else 1.0 if progress >= stop else (progress - start) / (stop - start)
        return {name: (1 - done) * first + done * later for name, (first, later) in self.terms.items()}

    def _loss(self, name: LossName) -> Loss:
        shapes = self.shapes
        weighs = shapes.class_weight_power > 0
        losses: dict[LossName, Loss] = {
            "bce": partial(
                bce,
                class_weights=(
                    positive_weights(self.positives, self.rows, shapes.class_weight_power) if weighs else None
                ),
            ),
            "soft_f1": partial(soft_f1, total=self.total),
            "clamped_soft_f1": partial(clamped_soft_f1, total=self.total),
            "sigmoid_f1": partial(
                sigmoid_f1, slope=shapes.sigmoid_f1_slope, offset=shapes.sigmoid_f1_offset, total=self.total
            ),
            "asl": partial(
                asl,
                negative_focus=shapes.asl_negative_focus,
                positive_focus=shapes.asl_positive_focus,
                clip=shapes.asl_clip,
            ),
            "focal": partial(focal, focus=shapes.focal_focus, positive_share=shapes.focal_positive_share),
            "distribution_balanced": partial(
                distribution_balanced, positives=self.positives, rows=self.rows, shape=shapes.balanced
            ),
            "zlpr": zlpr,
            "hamming": hamming,
        }
        return losses[name]


def bce_and_soft_f1(soft_f1_weight: float) -> dict[LossName, float]:
    """(1 - w) BCE + w soft-F1 as weights, those of zero left out."""
    weights: dict[LossName, float] = {"bce": 1 - soft_f1_weight, "soft_f1": soft_f1_weight}
    return {name: weight for name, weight in weights.items() if weight > 0}
