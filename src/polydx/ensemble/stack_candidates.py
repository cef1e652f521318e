"""Stacking as candidates: LightGBM over all inputs, neighbours and features, and its simple rival, a logistic one."""

import functools
from dataclasses import dataclass

import numpy as np

from polydx.artifacts import Floats
from polydx.ensemble.candidates import Candidate, Inputs, fusing
from polydx.ensemble.combination import RIDGE, Coefficients, fit_combination
from polydx.ensemble.neighbours import Numbers, fold_safe_rates, neighbour_opinions, unlabelled_rates
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
        oof_numbers: `[rows]`, float64, record numbers of the scored rows.
        test_numbers: `[test rows]`, float64.
        widths: Widths of the neighbourhoods by record number; none where they are off.
    """

    oof: RecordFeatures
    test: RecordFeatures
    oof_numbers: Numbers
    test_numbers: Numbers
    widths: tuple[int, ...]


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

    The neighbours' label rates of the test rows come in once for each outer fold, without its labels; fold job j is
    given those without fold j. What the members say stands in for the labels left out.
    """
    opinions = functools.cache(lambda: oof_opinions(inputs, context))

    def stacker_inputs(hidden: Hidden) -> StackInputs:
        rates = fold_safe_rates(context.oof_numbers, inputs.targets, inputs.fold_of_row, hidden, context.widths)
        return StackInputs(inputs.oof, np.concatenate([rates, opinions()]), context.oof)

    @functools.cache
    def fit(hidden: Hidden) -> Stacker:
        seen = inputs.seen(hidden)
        folds = inputs.fold_of_row[seen]
        return fit_stacker(stacker_inputs(hidden).take(seen), inputs.targets[seen], recipe, folds == folds.min())

    @functools.cache
    def held_out(hidden: Hidden) -> Floats:
        return fit(hidden).predict(stacker_inputs(hidden))

    def test() -> Floats:
        rates = unlabelled_rates(
            context.test_numbers, context.oof_numbers, inputs.targets, inputs.fold_of_row, context.widths
        )

        def test_inputs(job: int) -> StackInputs:
            fold = job % len(rates)
            opinions = _opinions(inputs, context, context.test_numbers, fold, job)
            return StackInputs(inputs.test[:, job], np.concatenate([rates[fold], opinions]), context.test)

        return np.stack([fit(NOTHING_HIDDEN).predict(test_inputs(job)) for job in range(inputs.test.shape[1])])

    def importance() -> dict[str, float]:
        stacker = fit(NOTHING_HIDDEN)
        return stacker.importance(column_names(inputs.names, context.widths, context.oof, stacker.related.shape[1]))

    return Candidate(held_out, test, importance)


def oof_opinions(inputs: Inputs, context: RecordContext) -> Floats:
    """What the members say of the scored rows' neighbours: `[widths, rows, labels]`; no label is looked at."""
    opinions = np.empty((len(context.widths), *inputs.targets.shape), dtype=np.float32)
    for fold in range(int(inputs.fold_of_row.max()) + 1):
        rows = inputs.fold_of_row == fold
        job = fold % inputs.test.shape[1]
        opinions[:, rows] = _opinions(inputs, context, context.oof_numbers[rows], fold, job)
    return opinions


def _opinions(inputs: Inputs, context: RecordContext, numbers: Numbers, fold: int, job: int) -> Floats:
    """What the members say of the neighbours in one fold and among the test rows.

    Other folds' neighbours are left out: what models say of them comes from the described rows' own labels, and the
    label rates know better. So a fold's rows hear only models that saw none of that fold's labels, save by stacking's
    second-order path where the members have several repeats or other folds than the outer ones.
    """
    rows = inputs.fold_of_row == fold
    return neighbour_opinions(
        numbers,
        context.oof_numbers[rows],
        context.test_numbers,
        inputs.oof[:, rows],
        inputs.test[:, job],
        context.widths,
    )
