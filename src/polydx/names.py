"""Names that settings and the library both write down, and neither may import from the other."""

from typing import Literal

LossName = Literal[
    "bce", "soft_f1", "clamped_soft_f1", "sigmoid_f1", "asl", "focal", "distribution_balanced", "zlpr", "hamming"
]
"""What a member can minimise; the functions of the same names stand in `train/losses/`."""

LinearLoss = Literal["logistic", "squared_hinge"]
"""What a linear member minimises: `polydx.model.linear`."""

FoldCombination = Literal["mean", "vote", "matched"]
"""From the fold models' predictions to one: `polydx.ensemble.fold_predictions`."""

FusionName = Literal[
    "mean",
    "geometric",
    "log_odds",
    "power",
    "rank",
    "weighted",
    "by_rank",
    "label_weighted",
    "bagged",
    "blended",
    "calibrated",
    "vote",
    "weighted_vote",
    "majority",
    "plurality",
    "logistic",
    "lightgbm",
]
"""Means of several kinds, weights found in several ways, hard votes, and stackers: `polydx.ensemble.fusions`."""
