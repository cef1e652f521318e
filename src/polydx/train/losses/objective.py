"""The loss that a member minimises: a weighted sum that may change on the way."""

from collections.abc import Mapping
from dataclasses import dataclass, field

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
            weight * self._loss(name, logits, targets, row_weights)
            for name, weight in self.weights(progress).items()
            if weight > 0
        ]
        return torch.stack(parts).sum()

    def weights(self, progress: float) -> dict[LossName, float]:
        """Weight of each loss when the share `progress` of the training is done."""
        start, stop = self.ramp
        done = 0.0 if progress < start else 1.0 if progress >= stop else (progress - start) / (stop - start)
        return {name: (1 - done) * first + done * later for name, (first, later) in self.terms.items()}

    def _loss(self, name: LossName, logits: Tensor, targets: Tensor, row_weights: Tensor) -> Tensor:
        """One loss; the tensors are those of `forward`."""
        shapes, batch = self.shapes, (logits, targets, row_weights)
        match name:
            case "bce":
                weighs = shapes.class_weight_power > 0
                weights = positive_weights(self.positives, self.rows, shapes.class_weight_power) if weighs else None
                return bce(*batch, weights)
            case "soft_f1":
                return soft_f1(*batch, self.total)
            case "clamped_soft_f1":
                return clamped_soft_f1(*batch, self.total)
            case "sigmoid_f1":
                slope, offset = shapes.sigmoid_f1_slope, shapes.sigmoid_f1_offset
                return sigmoid_f1(*batch, slope=slope, offset=offset, total=self.total)
            case "asl":
                negative, positive = shapes.asl_negative_focus, shapes.asl_positive_focus
                return asl(*batch, negative_focus=negative, positive_focus=positive, clip=shapes.asl_clip)
            case "focal":
                return focal(*batch, focus=shapes.focal_focus, positive_share=shapes.focal_positive_share)
            case "distribution_balanced":
                return distribution_balanced(*batch, self.positives, self.rows, shapes.balanced)
            case "zlpr":
                return zlpr(*batch)
            case "hamming":
                return hamming(*batch)


def bce_and_soft_f1(soft_f1_weight: float) -> dict[LossName, float]:
    """(1 - w) BCE + w soft-F1 as weights, those of zero left out."""
    weights: dict[LossName, float] = {"bce": 1 - soft_f1_weight, "soft_f1": soft_f1_weight}
    return {name: weight for name, weight in weights.items() if weight > 0}
