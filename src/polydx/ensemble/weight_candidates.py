"""Weighted means as candidates: the ways of finding weights, each on the rows outside the hidden folds alone."""

import functools
from collections.abc import Callable

from polydx.ensemble.candidates import Candidate, Inputs, fusing
from polydx.ensemble.fusion import Weights, arithmetic_mean, power_mean
from polydx.ensemble.vote_candidates import ThresholdsFit
from polydx.ensemble.weights import (
    bagged_weights,
    blend_weights,
    fit_exponent,
    fit_label_weights,
    fit_weights,
    weights_by_rank,
)
from polydx.judge.metrics import macro_f1
from polydx.judge.nested import NOTHING_HIDDEN, Hidden

WeightsFit = Callable[[Hidden], Weights]
"""Weights of the inputs by a fit on the rows outside the hidden folds."""
_BAGS = 5
"""A greedy choice steadies within a few draws, and each costs as much as the choice itself."""


def weighted(inputs: Inputs, fit: WeightsFit) -> Candidate:
    """The mean of all inputs with fitted weights, for all labels at once or for each."""
    return fusing(
        inputs,
        lambda hidden, members: arithmetic_mean(members, fit(hidden)),
        lambda: inputs.by_name(fit(NOTHING_HIDDEN)),
    )


def powered(inputs: Inputs, prior: float) -> Candidate:
    """The power mean of all inputs, its exponent by `fit_exponent`."""
    exponent = inputs.fitted(functools.partial(fit_exponent, prior=prior))
    return fusing(inputs, lambda hidden, members: power_mean(members, exponent(hidden)))


def selected_weights(inputs: Inputs, prior: float) -> WeightsFit:
    """Weights by `fit_weights`, each fit kept."""
    return inputs.fitted(functools.partial(fit_weights, prior=prior))


def bagged_selection(inputs: Inputs, prior: float, seed: int) -> WeightsFit:
    """The mean of what `fit_weights` finds on records drawn again with replacement."""
    select = functools.partial(fit_weights, prior=prior)
    return inputs.fitted(functools.partial(bagged_weights, select, bags=_BAGS, seed=seed))


def blended_weights(inputs: Inputs, prior: float) -> WeightsFit:
    """Weights by `blend_weights`; the first fold that may be seen is the hold-out."""

    @functools.cache
    def fit(hidden: Hidden) -> Weights:
        held_out = inputs.fold_of_row == inputs.fold_of_row[inputs.seen(hidden)].min()
        return blend_weights(inputs.oof, inputs.targets, held_out, prior)

    return fit


def weights_of_the_best(inputs: Inputs, thresholds: ThresholdsFit) -> WeightsFit:
    """3/6, 2/6 and 1/6 for the three inputs with the highest macro-F1 at their own thresholds."""

    @functools.cache
    def fit(hidden: Hidden) -> Weights:
        seen = inputs.seen(hidden)
        decided = [member[seen] >= cuts for member, cuts in zip(inputs.oof, thresholds(hidden), strict=True)]
        return weights_by_rank([macro_f1(rows, inputs.targets[seen]) for rows in decided])

    return fit


def label_weights(inputs: Inputs, common: WeightsFit, prior: float) -> WeightsFit:
    """Weights for each label by `fit_label_weights`, pulled towards common ones."""

    @functools.cache
    def fit(hidden: Hidden) -> Weights:
        seen = inputs.seen(hidden)
        return fit_label_weights(inputs.oof[:, seen], inputs.targets[seen], common(hidden), prior)

    return fit
