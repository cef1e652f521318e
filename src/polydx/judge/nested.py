"""Nested cross-validation of everything that is fitted after the members: fusion, thresholds and the choice among them.

A row's final decision in outer fold f comes from a fusion, thresholds and a choice among fusions that saw no label of
fold f. The members' own columns of the other rows come from models that trained on fold f: this second-order path of
stacking is accepted here as everywhere, since strict nesting would train every member folds × (folds - 1) times.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.errors import UserError
from polydx.judge.folds import Folds, Integers, make_folds
from polydx.judge.metrics import Mask, macro_f1

Hidden = frozenset[int]
"""Folds whose labels a fit may not see."""
Predictor = Callable[[Hidden], Floats]
"""Probabilities `[rows, labels]` by a fit on the rows outside the hidden folds, honest for the hidden ones; only theirs
are looked at, and all where nothing is hidden."""
Decider = Callable[[Floats, Mask, Floats], Mask]
"""(probabilities and targets of the rows that fit the thresholds, probabilities to decide) to decisions."""

NOTHING_HIDDEN: Hidden = frozenset()
FEWEST_OUTER_FOLDS = 4
"""Nesting hides one fold for the score and one for the choice, and neighbour rates leave out a third."""
_FRESH_FOLDS = 5


def outer_folds(folds: Folds, targets: npt.NDArray[np.float32], groups: Integers, seed: int) -> Integers:
    """Outer folds of the scored rows: the fold jobs of repeat 0, or fresh ones where those are too few (hold-out).

    Args:
        folds: The members' folds.
        targets: `[training rows, labels]`, 0 or 1.
        groups: `[training rows]`, duplicate groups.
        seed: Seed of fresh folds.

    Returns:
        `[scored rows]`, from 0.

    Raises:
        UserError: Fewer groups of records are scored than there are fresh folds.
    """
    scored = folds.scored()
    fold_of_row = folds.fold_of_row(repeat=0)[scored]
    if fold_of_row.max() + 1 >= FEWEST_OUTER_FOLDS:
        return fold_of_row
    if len(np.unique(groups[scored])) < _FRESH_FOLDS:
        problem = f"leaves fewer than {_FRESH_FOLDS} groups of near copies to score, too few to nest anything"
        raise UserError("split", problem, "hold out more, or add records")
    fresh = make_folds(
        ["" for _ in fold_of_row],
        targets[scored],
        groups[scored],
        scheme="stratified",
        folds=_FRESH_FOLDS,
        repeats=1,
        holdout_share=0.0,
        seed=seed,
    )
    return fresh.fold_of_row(repeat=0)


def cross_fitted_decisions(
    probabilities: Floats, targets: Mask, fold_of_row: Integers, decider: Decider, fitted_on: Floats | None = None
) -> Mask:
    """Decide each fold by thresholds fitted on the others.

    Args:
        probabilities: `[rows, labels]`, to decide.
        targets: `[rows, labels]`, bool.
        fold_of_row: `[rows]`.
        decider: Fits thresholds on some rows and decides others.
        fitted_on: `[rows, labels]`, what thresholds are fitted on; `probabilities` themselves if None.

    Returns:
        `[rows, labels]`, bool.
    """
    fitting = probabilities if fitted_on is None else fitted_on
    decided = np.zeros_like(targets)
    for fold in np.unique(fold_of_row):
        here = fold_of_row == fold
        decided[here] = decider(fitting[~here], targets[~here], probabilities[here])
    return decided


@dataclass(frozen=True)
class NestedFolds:
    """The scored rows, their outer folds and the way of deciding.

    Attributes:
        targets: `[rows, labels]`, bool.
        fold_of_row: `[rows]`, from 0.
        decider: Fits thresholds on some rows and decides others.
    """

    targets: Mask
    fold_of_row: npt.NDArray[np.int64]
    decider: Decider

    def visible(self, hidden: Hidden) -> list[int]:
        """The folds that are not hidden."""
        return [fold for fold in range(int(self.fold_of_row.max()) + 1) if fold not in hidden]

    def rows_of(self, folds: Hidden | list[int]) -> Mask:
        """Rows of these folds: `[rows]`, bool."""
        return np.isin(self.fold_of_row, sorted(folds))

    def held_out(self, predictor: Predictor, hidden: Hidden = NOTHING_HIDDEN) -> Floats:
        """Cross-fitted probabilities of the rows outside `hidden`, whose labels none of the fits saw.

        Returns:
            `[rows, labels]`; NaN in the hidden rows.
        """
        assembled = np.full(self.targets.shape, np.nan, dtype=np.float32)
        for fold in self.visible(hidden):
            rows = self.rows_of([fold])
            assembled[rows] = predictor(hidden | {fold})[rows]
        return assembled

    def inner_score(self, predictor: Predictor, hidden: Hidden = NOTHING_HIDDEN) -> float:
        """Macro-F1 of held-out probabilities on the rows outside `hidden`, for comparing predictors.

        Its thresholds are fitted on the rows that it scores, which flatters every predictor about alike. Thresholds
        from the other inner folds would punish those that fit something: the probabilities of those folds come from
        fits that saw this fold's labels, so that a label rarer here than elsewhere meets a threshold moved the wrong
        way.
        """
        seen = ~self.rows_of(hidden)
        probabilities, targets = self.held_out(predictor, hidden)[seen], self.targets[seen]
        return macro_f1(self.decider(probabilities, targets, probabilities), targets)

    def decisions(self, predictor: Predictor) -> Mask:
        """Decisions of every row, each outer fold's by fits and thresholds that saw none of its labels.

        Thresholds are fitted on held-out probabilities of the other folds, not on what the fusion says of rows that it
        was fitted on.
        """
        decided = np.zeros_like(self.targets)
        for fold in self.visible(NOTHING_HIDDEN):
            hidden, rows = frozenset({fold}), self.rows_of([fold])
            inner = self.held_out(predictor, hidden)
            decided[rows] = self.decider(inner[~rows], self.targets[~rows], predictor(hidden)[rows])
        return decided

    def inner_scores(self, predictors: Mapping[str, Predictor], hidden: Hidden = NOTHING_HIDDEN) -> dict[str, float]:
        """Inner score of each predictor, best first; of equals, the one that came first."""
        scores = {name: self.inner_score(predictor, hidden) for name, predictor in predictors.items()}
        return dict(sorted(scores.items(), key=lambda item: -item[1]))
