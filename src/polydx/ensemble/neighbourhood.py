"""The neighbours of the scored and of the test records by number, as the stacker is told of them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.ensemble.neighbours import Numbers, fold_safe_rates, neighbour_opinions, unlabelled_rates, view_names
from polydx.judge.metrics import Mask
from polydx.judge.nested import Hidden


@dataclass(frozen=True)
class Neighbourhood:
    """Record numbers, and what the models of the members' first repeat say of the records.

    A fold here is one of the members' own, of their first repeat, not an outer fold: its models saw no label of its
    rows. So its rows hear only what those models say, of each other and of the test rows. Anything else that is said of
    a neighbour, by another fold's model or in another repeat, may come from the row's own label.

    Attributes:
        oof_numbers: `[rows]`, float64, record numbers of the scored rows; NaN where a record has none.
        test_numbers: `[test rows]`, float64.
        widths: Widths of the neighbourhoods; none where they are off, and then there is no view.
        fold_of_row: `[rows]`, from 0.
        oof: `[inputs, rows, labels]`, float32: of the scored rows, each by its own fold's model.
        test: `[inputs, folds, test rows, labels]`, float32: of the test rows, by each fold's model.
    """

    oof_numbers: Numbers
    test_numbers: Numbers
    widths: tuple[int, ...]
    fold_of_row: npt.NDArray[np.int64]
    oof: Floats
    test: Floats

    def names(self) -> list[str]:
        """What the rates and the opinions are called, in their order."""
        return [*view_names(self.widths), *(f"opinions by a kernel of {width} numbers" for width in self.widths)]

    def rates(self, targets: Mask, outer_fold_of_row: npt.NDArray[np.int64], hidden: Hidden) -> Floats:
        """Label rates around the scored rows: `[views, rows, labels]`; see `fold_safe_rates`."""
        return fold_safe_rates(self.oof_numbers, targets, outer_fold_of_row, hidden, self.widths)

    def test_rates(self, targets: Mask, outer_fold_of_row: npt.NDArray[np.int64]) -> Floats:
        """Label rates around the test rows: `[outer folds, views, test rows, labels]`; see `unlabelled_rates`."""
        return unlabelled_rates(self.test_numbers, self.oof_numbers, targets, outer_fold_of_row, self.widths)

    def opinions(self) -> Floats:
        """What the members say of the scored rows' neighbours: `[widths, rows, labels]`; no label is looked at."""
        opinions = np.empty((len(self.widths), *self.oof.shape[1:]), dtype=np.float32)
        for fold in range(self.test.shape[1]):
            rows = self.fold_of_row == fold
            opinions[:, rows] = self._opinions_of_fold(self.oof_numbers[rows], fold)
        return opinions

    def test_opinions(self, fold: int) -> Floats:
        """What one fold's models say of the test rows' neighbours: `[widths, test rows, labels]`."""
        return self._opinions_of_fold(self.test_numbers, fold)

    def _opinions_of_fold(self, numbers: Numbers, fold: int) -> Floats:
        rows = self.fold_of_row == fold
        return neighbour_opinions(
            numbers, self.oof_numbers[rows], self.test_numbers, self.oof[:, rows], self.test[:, fold], self.widths
        )
