"""From the fold models' predictions of new rows to one: thresholds are fitted on single fold models' probabilities.

The mean of k predictions is smoother than each, so that fewer rows pass a high threshold and more a low one. Three
ways: leave it at that, let the fold models decide and count their votes, or give the means the distribution of single
models' predictions. `benchmarks/threshold_transfer.py` measures which is better.
"""

from typing import assert_never

import numpy as np

from polydx.artifacts import Floats
from polydx.ensemble.quantiles import match_distribution
from polydx.names import FoldCombination


def combine_folds(predictions: Floats, how: FoldCombination) -> Floats:
    """One probability from the fold models' predictions, for thresholds fitted on a single model's.

    Args:
        predictions: `[jobs, rows, labels]`, float32 in [0, 1].
        how: `mean`, `vote` for `fold_vote`, or `matched` for `matched_mean`.

    Returns:
        `[rows, labels]`, float32 in [0, 1].
    """
    match how:
        case "mean":
            mean: Floats = predictions.mean(axis=0)
            return mean
        case "vote":
            return fold_vote(predictions)
        case "matched":
            return matched_mean(predictions)
        case _:
            assert_never(how)


def fold_vote(predictions: Floats) -> Floats:
    """What a vote of the fold models comes to: at or above a threshold where more than half of them are.

    That is the median, and of an even number of models the lower of the two in the middle, whatever the threshold;
    and unlike a count of votes it can be ranked, where a record has too many labels or too few.

    Args:
        predictions: `[jobs, rows, labels]`, float32.

    Returns:
        `[rows, labels]`, float32.
    """
    middle = (len(predictions) - 1) // 2
    voted: Floats = np.partition(predictions, middle, axis=0)[middle]
    return voted


def matched_mean(predictions: Floats) -> Floats:
    """The mean, mapped label by label to the distribution that single models' predictions for these rows have.

    Args:
        predictions: `[jobs, rows, labels]`, float32.

    Returns:
        `[rows, labels]`, float32.
    """
    mean: Floats = predictions.mean(axis=0)
    return match_distribution(mean, predictions.reshape(-1, predictions.shape[-1]))
