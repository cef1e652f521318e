"""Stacking as candidates: LightGBM over all inputs, neighbours and features, and its simple rival, a logistic one."""

import functools
from dataclasses import dataclass

import numpy as np

from polydx.artifacts import Floats
from polydx.ensemble.candidates import Candidate, Inputs, fusing
from polydx.ensemble.combination import RIDGE, Coefficients, fit_combination
from polydx.ensemble.neighbourhood import Neighbourhood
from polydx.ensemble.odds import logit, probability
from polydx.ensemble.record_features import RecordFeatures
from polydx.ensemble.stack_columns import StackInputs, column_names
from polydx.ensemble.stacking import Stacker, StackerRecipe, fit_stacker
from polydx.judge.metrics import Mask
from polydx.judge.nested import NOTHING_HIDDEN, Hidden


@dataclass(frozen=True)
class RecordContext:
    """What the stacker may know beside the inputs.

    Attributes:
        oof: Features of the scored rows.
        test: Features of the test rows.
        neighbourhood: The records' neighbours by number.
    """

    oof: RecordFeatures
    test: RecordFeatures
    neighbourhood: Neighbourhood


def logistic(inputs: Inputs) -> Candidate:
    """The simple rival: each label's log-odds a ridge-regularised sum of the inputs' log-odds for it, and a constant.

    The ridge pulls towards the plain mean of the log-odds, so that a rare label keeps it; see `fit_combination`.
    """

    def combine_each(members: Floats, targets: Mask) -> list[Coefficients]:
        odds = logit(members)
        return [fit_combination(odds[:, :, label].T, targets[:, label], RIDGE) for label in range(targets.shape[1])]

    coefficients = inputs.fitted(combine_each)

    def apply(hidden: Hidden, members: Floats) -> Floats:
        weights = np.stack(coefficients(hidden), axis=1)
        return probability(np.einsum("ml,m...l->...l", weights[:-1], logit(members)) + weights[-1])

    return fusing(inputs, apply)


def stacked(inputs: Inputs, context: RecordContext, recipe: StackerRecipe) -> Candidate:
    """LightGBM over all inputs and the records' features.

    Where its trees stop early, they are watched on the first fold that may be seen.

    The neighbours' label rates of the test rows come in once for each outer fold, without its labels: fold 0's models
    are given those without outer fold 0, and so on. What the members say stands in for the labels left out.
    """
    near = context.neighbourhood
    opinions = functools.cache(near.opinions)

    @functools.cache
    def fit(hidden: Hidden) -> tuple[Stacker, Floats]:
        """The stacker, and what it says of the rows that it is asked about."""
        rates = near.rates(inputs.targets, inputs.fold_of_row, hidden)
        views = StackInputs(inputs.oof, np.concatenate([rates, opinions()]), context.oof)
        seen = inputs.seen(hidden)
        folds = inputs.fold_of_row[seen]
        stacker = fit_stacker(views.take(seen), inputs.targets[seen], recipe, folds == folds.min())
        return stacker, stacker.predict(views.take(inputs.asked(hidden)))

    def test() -> Floats:
        stacker, _ = fit(NOTHING_HIDDEN)
        rates = near.test_rates(inputs.targets, inputs.fold_of_row)

        def test_inputs(fold: int) -> StackInputs:
            views = np.concatenate([rates[fold % len(rates)], near.test_opinions(fold)])
            return StackInputs(inputs.test[:, fold], views, context.test)

        return np.stack([stacker.predict(test_inputs(fold)) for fold in range(inputs.test.shape[1])])

    def importance() -> dict[str, float]:
        stacker, _ = fit(NOTHING_HIDDEN)
        return stacker.importance(column_names(inputs.names, near.names(), context.oof, stacker.related.shape[1]))

    return Candidate(lambda hidden: inputs.spread(inputs.asked(hidden), fit(hidden)[1]), test, importance)
