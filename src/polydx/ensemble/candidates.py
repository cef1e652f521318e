"""The predictors that compete for the submission: every input by itself, and every fusion (`fusions`).

A candidate answers two questions: what does it say of the labelled rows when some folds' labels are hidden from
whatever it fits, and what does it say of the test rows when fitted on all of them. Fits are kept, since nested
cross-validation asks for the same hidden folds again.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.ensemble.fusion import Weights
from polydx.judge.metrics import Mask
from polydx.judge.nested import NOTHING_HIDDEN, Hidden, Predictor

Fitted = TypeVar("Fitted")


@dataclass(frozen=True)
class Inputs:
    """What the members and the student say.

    Attributes:
        names: One an input.
        oof: `[inputs, rows, labels]`, float32: of the scored rows, each by models that never saw its label.
        test: `[inputs, folds, test rows, labels]`, float32: of the test rows, by each fold's models, so that a value
            is the mean of as many models as one of `oof`.
        targets: `[rows, labels]`, bool.
        fold_of_row: `[rows]`, the outer folds, from 0.
    """

    names: tuple[str, ...]
    oof: Floats
    test: Floats
    targets: Mask
    fold_of_row: npt.NDArray[np.int64]

    def first(self, count: int) -> "Inputs":
        """The first so many inputs alone; a view."""
        return replace(self, names=self.names[:count], oof=self.oof[:count], test=self.test[:count])

    def seen(self, hidden: Hidden) -> Mask:
        """Rows whose labels a fit may see."""
        return ~np.isin(self.fold_of_row, sorted(hidden))

    def asked(self, hidden: Hidden) -> Mask:
        """Rows that a fit is asked about: those of the folds hidden from it, or all if nothing is hidden."""
        return ~self.seen(hidden) if hidden else np.ones(len(self.targets), dtype=bool)

    def spread(self, asked: Mask, answers: Floats) -> Floats:
        """Answers `[asked rows, labels]` as a table of all scored rows, NaN in those that were not asked about."""
        whole = np.full(self.targets.shape, np.nan, dtype=np.float32)
        whole[asked] = answers
        return whole

    def by_name(self, weights: Weights) -> dict[str, float]:
        """Weights `[inputs]` or `[inputs, labels]` by input, averaged over labels."""
        return dict(zip(self.names, weights.reshape(len(self.names), -1).mean(axis=1).tolist(), strict=True))

    def fitted(self, fit: Callable[[Floats, Mask], Fitted]) -> Callable[[Hidden], Fitted]:
        """A fit on what the inputs say of the seen rows, `[inputs, rows, labels]`, and their targets; each is kept."""

        @functools.cache
        def kept(hidden: Hidden) -> Fitted:
            seen = self.seen(hidden)
            return fit(self.oof[:, seen], self.targets[seen])

        return kept


@dataclass(frozen=True)
class Candidate:
    """One predictor.

    Attributes:
        held_out: Probabilities of the hidden folds' rows by a fit that saw none of their labels, and of all scored rows
            where nothing is hidden; what the table says of other rows is not looked at.
        test: `[folds, test rows, labels]`: probabilities of the test rows by a fit on all scored rows, once for each
            fold's models; a single array where these have settled on one answer. Each is as sharp as the out-of-fold
            probabilities that thresholds are fitted on; their mean is smoother.
        importance: Each column's share of the gain in the fit on all scored rows, largest first; empty where no trees
            are grown.
        weights: Each input's weight in that fit, which sum to 1, on average over labels where these have their own;
            empty where no input has one.
    """

    held_out: Predictor
    test: Callable[[], Floats]
    importance: Callable[[], dict[str, float]] = dict
    weights: Callable[[], dict[str, float]] = dict


def fusing(
    inputs: Inputs, fuse: Callable[[Hidden, Floats], Floats], weights: Callable[[], dict[str, float]] = dict
) -> Candidate:
    """What `fuse` makes of all inputs, `[inputs, ..., labels]`, having fitted on the rows outside the hidden folds."""

    def held_out(hidden: Hidden) -> Floats:
        asked = inputs.asked(hidden)
        return inputs.spread(asked, fuse(hidden, inputs.oof[:, asked]))

    return Candidate(held_out, lambda: fuse(NOTHING_HIDDEN, inputs.test), weights=weights)


def single(inputs: Inputs, index: int) -> Candidate:
    """One input as it is."""
    return Candidate(lambda _hidden: inputs.oof[index], lambda: inputs.test[index])
