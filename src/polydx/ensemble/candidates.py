"""The predictors that compete for the submission: every input by itself, and every fusion of all inputs.

A candidate answers two questions: what does it say of the labelled rows when some folds' labels are hidden from
whatever it fits, and what does it say of the test rows when fitted on all of them. Fits are kept, since nested
cross-validation asks for the same hidden folds again.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.ensemble.fusion import Weights, mean, weighted_mean
from polydx.ensemble.neighbours import Numbers, fold_safe_rates, neighbour_opinions, unlabelled_rates
from polydx.ensemble.record_features import RecordFeatures
from polydx.ensemble.stack_columns import StackInputs, column_names
from polydx.ensemble.stacking import Stacker, StackerRecipe, fit_stacker
from polydx.ensemble.weights import fit_weights
from polydx.judge.metrics import Mask
from polydx.judge.nested import NOTHING_HIDDEN, Hidden, Predictor

WeightsFit = Callable[[Hidden], Weights]
"""Weights of the inputs by a fit on the rows outside the hidden folds."""


@dataclass(frozen=True)
class Inputs:
    """What the members and the student say.

    Attributes:
        names: One an input.
        oof: `[inputs, rows, labels]`, float32: of the scored rows, each by models that never saw its label.
        test: `[inputs, jobs, test rows, labels]`, float32: of the test rows, by each job's model.
        targets: `[rows, labels]`, bool.
        fold_of_row: `[rows]`, the outer folds, from 0.
    """

    names: tuple[str, ...]
    oof: Floats
    test: Floats
    targets: Mask
    fold_of_row: npt.NDArray[np.int64]

    def seen(self, hidden: Hidden) -> Mask:
        """Rows whose labels a fit may see."""
        return ~np.isin(self.fold_of_row, sorted(hidden))


@dataclass(frozen=True)
class Candidate:
    """One predictor.

    Attributes:
        held_out: Probabilities of the scored rows by a fit that saw no label of the hidden folds.
        test: `[jobs, test rows, labels]`: probabilities of the test rows by a fit on all scored rows, a reading for
            each fold job's models. A reading is as sharp as the out-of-fold probabilities that thresholds are fitted
            on; their mean is smoother.
        importance: Each column's share of the gain in the fit on all scored rows, largest first; empty where no trees
            are grown.
    """

    held_out: Predictor
    test: Callable[[], Floats]
    importance: Callable[[], dict[str, float]] = dict


def single(inputs: Inputs, index: int) -> Candidate:
    """One input as it is."""
    return Candidate(lambda _hidden: inputs.oof[index], lambda: inputs.test[index])


def plain_mean(inputs: Inputs) -> Candidate:
    """The mean of all inputs."""
    fused = mean(inputs.oof)
    return Candidate(lambda _hidden: fused, lambda: mean(inputs.test))


def weighted(inputs: Inputs, fit: WeightsFit) -> Candidate:
    """The mean of all inputs with fitted weights, for all labels at once or for each."""
    return Candidate(
        lambda hidden: weighted_mean(inputs.oof, fit(hidden)),
        lambda: weighted_mean(inputs.test, fit(NOTHING_HIDDEN)),
    )


def selected_weights(inputs: Inputs, prior: float) -> WeightsFit:
    """Weights by `fit_weights`, each fit kept."""

    @functools.cache
    def fit(hidden: Hidden) -> Weights:
        seen = inputs.seen(hidden)
        return fit_weights(inputs.oof[:, seen], inputs.targets[seen], prior)

    return fit


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


def stacked(inputs: Inputs, context: RecordContext, recipe: StackerRecipe) -> Candidate:
    """LightGBM over all inputs and the records' features.

    The neighbours' label rates of the test rows come in as many readings as there are outer folds, each without one
    fold's labels; fold job j reads the one without fold j. What the members say stands in for the labels left out.
    """
    opinions = functools.cache(lambda: _oof_opinions(inputs, context))

    def stacker_inputs(hidden: Hidden) -> StackInputs:
        rates = fold_safe_rates(context.oof_numbers, inputs.targets, inputs.fold_of_row, hidden, context.widths)
        return StackInputs(inputs.oof, np.concatenate([rates, opinions()]), context.oof)

    @functools.cache
    def fit(hidden: Hidden) -> Stacker:
        seen = inputs.seen(hidden)
        return fit_stacker(stacker_inputs(hidden).take(seen), inputs.targets[seen], recipe)

    @functools.cache
    def held_out(hidden: Hidden) -> Floats:
        return fit(hidden).predict(stacker_inputs(hidden))

    def test() -> Floats:
        rates = unlabelled_rates(
            context.test_numbers, context.oof_numbers, inputs.targets, inputs.fold_of_row, context.widths
        )

        def reading(job: int) -> StackInputs:
            fold = job % len(rates)
            opinions = _opinions(inputs, context, context.test_numbers, fold, job)
            return StackInputs(inputs.test[:, job], np.concatenate([rates[fold], opinions]), context.test)

        return np.stack([fit(NOTHING_HIDDEN).predict(reading(job)) for job in range(inputs.test.shape[1])])

    def importance() -> dict[str, float]:
        stacker = fit(NOTHING_HIDDEN)
        return stacker.importance(column_names(inputs.names, context.widths, context.oof, stacker.related.shape[1]))

    return Candidate(held_out, test, importance)


def _oof_opinions(inputs: Inputs, context: RecordContext) -> Floats:
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
