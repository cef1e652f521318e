"""The fusions that may compete, by name; whatever they fit sees only labels that are not hidden."""

import functools
from collections.abc import Callable, Sequence

import numpy as np

from polydx.artifacts import Floats
from polydx.ensemble.calibration import CalibrationMethod, Maps, fit_calibration
from polydx.ensemble.candidates import (
    Candidate,
    Inputs,
    RecordContext,
    WeightsFit,
    plain_mean,
    selected_weights,
    stacked,
    weighted,
)
from polydx.ensemble.fusion import Weights, geometric_mean, mean, rank_mean
from polydx.ensemble.stacking import StackerRecipe
from polydx.ensemble.thresholds import shrunk_thresholds
from polydx.ensemble.voting import vote_shares
from polydx.ensemble.weights import fit_label_weights, weights_by_rank
from polydx.judge.metrics import Scores, macro_f1
from polydx.judge.nested import NOTHING_HIDDEN, Hidden

MEAN = "mean"
FUSIONS = (MEAN, "weighted", "lightgbm", "geometric", "rank", "by_rank", "label_weighted", "calibrated", "vote")
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
        recipe: How the stacker is fitted.
        prior: Positives' worth of pull of all that is fitted label by label.
        calibration: How `calibrated` calibrates.
    """
    common = selected_weights(inputs, prior)
    makers: dict[str, Callable[[], Candidate]] = {
        MEAN: lambda: plain_mean(inputs),
        "weighted": lambda: weighted(inputs, common),
        "lightgbm": lambda: stacked(inputs, context, recipe),
        "geometric": lambda: geometric(inputs),
        "rank": lambda: ranked(inputs),
        "by_rank": lambda: weighted(inputs, weights_of_the_best(inputs, prior)),
        "label_weighted": lambda: weighted(inputs, label_weights(inputs, common, prior)),
        "calibrated": lambda: calibrated(inputs, calibration, prior),
        "vote": lambda: voted(inputs, prior),
    }
    return {name: makers[name]() for name in names}


def geometric(inputs: Inputs) -> Candidate:
    """The geometric mean of all inputs; nothing is fitted."""
    fused = functools.cache(lambda: geometric_mean(inputs.oof))
    return Candidate(lambda _hidden: fused(), lambda: geometric_mean(inputs.test))


def ranked(inputs: Inputs) -> Candidate:
    """The mean of all inputs' ranks among the scored rows; no label is looked at."""
    fused = functools.cache(lambda: rank_mean(inputs.oof, inputs.oof))

    def test() -> Floats:
        return np.stack([rank_mean(inputs.test[:, job], inputs.oof) for job in range(inputs.test.shape[1])])

    return Candidate(lambda _hidden: fused(), test)


def weights_of_the_best(inputs: Inputs, prior: float) -> WeightsFit:
    """3/6, 2/6 and 1/6 for the three inputs with the highest macro-F1 at their own thresholds."""

    @functools.cache
    def fit(hidden: Hidden) -> Weights:
        seen = inputs.seen(hidden)
        targets = inputs.targets[seen]
        members = [member[seen] for member in inputs.oof]
        cut = [member >= shrunk_thresholds(member, targets, prior) for member in members]
        return weights_by_rank([macro_f1(decided, targets) for decided in cut])

    return fit


def label_weights(inputs: Inputs, common: WeightsFit, prior: float) -> WeightsFit:
    """Weights for each label by `fit_label_weights`, pulled towards common ones."""

    @functools.cache
    def fit(hidden: Hidden) -> Weights:
        seen = inputs.seen(hidden)
        return fit_label_weights(inputs.oof[:, seen], inputs.targets[seen], common(hidden), prior)

    return fit


def calibrated(inputs: Inputs, method: CalibrationMethod, prior: float) -> Candidate:
    """The mean of all inputs, each calibrated by itself on rows whose labels may be seen."""

    @functools.cache
    def maps(hidden: Hidden) -> list[Maps]:
        seen = inputs.seen(hidden)
        return [fit_calibration(member[seen], inputs.targets[seen], method, prior) for member in inputs.oof]

    def apply(hidden: Hidden, members: Floats) -> Floats:
        return mean(np.stack([map_.apply(member) for map_, member in zip(maps(hidden), members, strict=True)]))

    return Candidate(lambda hidden: apply(hidden, inputs.oof), lambda: apply(NOTHING_HIDDEN, inputs.test))


def voted(inputs: Inputs, prior: float) -> Candidate:
    """The share of the inputs that say yes, each at its own fitted thresholds; how many must is fitted like any cut."""

    @functools.cache
    def thresholds(hidden: Hidden) -> list[Scores]:
        seen = inputs.seen(hidden)
        return [shrunk_thresholds(member[seen], inputs.targets[seen], prior) for member in inputs.oof]

    def count(hidden: Hidden, members: Floats) -> Floats:
        return vote_shares(np.stack([member >= cut for member, cut in zip(members, thresholds(hidden), strict=True)]))

    return Candidate(lambda hidden: count(hidden, inputs.oof), lambda: count(NOTHING_HIDDEN, inputs.test))
