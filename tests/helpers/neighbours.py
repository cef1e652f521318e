"""Records and their numbers, as the stacker is told of them."""

import numpy as np

from polydx.ensemble.candidates import Inputs
from polydx.ensemble.neighbourhood import Neighbourhood
from polydx.ensemble.neighbours import Numbers


def neighbourhood_of(
    inputs: Inputs,
    numbers: Numbers | None = None,
    test_numbers: Numbers | None = None,
    widths: tuple[int, ...] = (),
) -> Neighbourhood:
    """The neighbourhood where the members' folds are the outer ones; without widths record numbers are off."""
    rows, test_rows = len(inputs.targets), inputs.test.shape[2]
    return Neighbourhood(
        np.zeros(rows) if numbers is None else numbers,
        np.zeros(test_rows) if test_numbers is None else test_numbers,
        widths,
        inputs.fold_of_row,
        inputs.oof,
        inputs.test,
    )
