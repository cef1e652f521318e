"""The fusions that may compete, by name; whatever they fit sees only labels that are not hidden."""

import functools
from collections.abc import Callable, Sequence
from typing import get_args

import numpy as np

from polydx.artifacts import Floats
from polydx.ensemble.calibration import Maps, fit_calibration
from polydx.ensemble.candidates import Candidate, Inputs, fusing
from polydx.ensemble.fusion import arithmetic_mean, geometric_mean, log_odds_mean, rank_mean
from polydx.ensemble.stack_candidates import RecordContext, logistic, stacked
from polydx.ensemble.stacking import StackerRecipe
from polydx.ensemble.vote_candidates import own_thresholds, settled_vote, vote
from polydx.ensemble.voting import absolute_majority, plurality
from polydx.ensemble.weight_candidates import (
    bagged_selection,
    blended_weights,
    label_weights,
    powered,
    selected_weights,
    weighted,
    weights_of_the_best,
)
from polydx.judge.metrics import Mask
from polydx.judge.nested import Hidden
from polydx.names import CalibrationMethod, FusionName

MEAN = "mean"
FUSIONS: tuple[FusionName, ...] = get_args(FusionName)
"""Their names, in settings and in ledgers."""


def fusion_candidates(
    names: Sequence[str],
    inputs: Inputs,
    context: RecordContext,
    recipe: StackerRecipe,
    *,
    prior: float,
    calibration: CalibrationMethod,
) -> dict[str, Candidate]:
    """The candidates of these names, in this order.

    Args:
        names: Of `FUSIONS`.
        inputs: What they fuse.
        context: What the stacker may know beside.
        recipe: How the stacker is fitted; its seed also draws the bags of `bagged`.
        prior: Positives' worth of pull of all that is fitted label by label.
        calibration: How `calibrated` calibrates.
    """
    common = selected_weights(inputs, prior)
    thresholds = own_thresholds(inputs, prior)
    by_rank = weights_of_the_best(inputs, thresholds)
    makers: dict[str, Callable[[], Candidate]] = {
        MEAN: lambda: unfitted(inputs, arithmetic_mean),
        "geometric": lambda: unfitted(inputs, geometric_mean),
        "log_odds": lambda: unfitted(inputs, log_odds_mean),
        "power": lambda: powered(inputs, prior),
        "rank": lambda: ranked(inputs),
        "weighted": lambda: weighted(inputs, common),
        "by_rank": lambda: weighted(inputs, by_rank),
        "label_weighted": lambda: weighted(inputs, label_weights(inputs, common, prior)),
        "bagged": lambda: weighted(inputs, bagged_selection(inputs, prior, recipe.seed)),
        "blended": lambda: weighted(inputs, blended_weights(inputs, prior)),
        "calibrated": lambda: calibrated(inputs, calibration, prior),
        "vote": lambda: vote(inputs, thresholds),
        "weighted_vote": lambda: vote(inputs, thresholds, by_rank),
        "majority": lambda: settled_vote(inputs, thresholds, absolute_majority),
        "plurality": lambda: settled_vote(inputs, thresholds, plurality),
        "logistic": lambda: logistic(inputs),
        "lightgbm": lambda: stacked(inputs, context, recipe),
    }
    return {name: makers[name]() for name in names}


def unfitted(inputs: Inputs, fuse: Callable[[Floats], Floats]) -> Candidate:
    """A mean of all inputs in which nothing is fitted."""
    fused = functools.cache(lambda: fuse(inputs.oof))
    return Candidate(lambda _hidden: fused(), lambda: fuse(inputs.test))


def ranked(inputs: Inputs) -> Candidate:
    """The mean of all inputs' ranks among the scored rows; no label is looked at."""
    fused = functools.cache(lambda: rank_mean(inputs.oof, inputs.oof))

    def test() -> Floats:
        return np.stack([rank_mean(inputs.test[:, job], inputs.oof) for job in range(inputs.test.shape[1])])

    return Candidate(lambda _hidden: fused(), test)


def calibrated(inputs: Inputs, method: CalibrationMethod, prior: float) -> Candidate:
    """The mean of all inputs, each calibrated by itself on rows whose labels may be seen."""

    def calibrate(members: Floats, targets: Mask) -> list[Maps]:
        return [fit_calibration(member, targets, method, prior) for member in members]

    maps = inputs.fitted(calibrate)

    def apply(hidden: Hidden, members: Floats) -> Floats:
        return arithmetic_mean(
            np.stack([map_.apply(member) for map_, member in zip(maps(hidden), members, strict=True)])
        )

    return fusing(inputs, apply)
