"""From the fold models' readings of new rows to one: thresholds are fitted on single fold models' probabilities.

The mean of k readings is smoother than each, so that fewer rows pass a high threshold and more a low one. Three ways:
leave it at that, let the fold models decide and count their votes, or give the means the distribution of single
readings. `benchmarks/threshold_transfer.py` measures which is better.
"""

from typing import Literal

import numpy as np

from polydx.artifacts import Floats
from polydx.ensemble.quantiles import match_distribution

ReadingCombination = Literal["mean", "vote", "matched"]


def combine_readings(readings: Floats, how: ReadingCombination) -> Floats:
    """One probability from the fold models' readings, for thresholds fitted on such readings.

    Args:
        readings: `[jobs, rows, labels]`, float32 in [0, 1].
        how: `mean`, `middle_reading` or `matched_mean`.

    Returns:
        `[rows, labels]`, float32 in [0, 1].
    """
    if how == "vote":
        return middle_reading(readings)
    return matched_mean(readings) if how == "matched" else readings.mean(axis=0)


def middle_reading(readings: Floats) -> Floats:
    """What a vote of the fold models comes to: at or above a threshold where more than half of the readings are.

    That is the median, and of an even number of readings the lower of the two in the middle, whatever the threshold;
    and unlike a count of votes it can be ranked, where a record has too many labels or too few.

    Args:
        readings: `[jobs, rows, labels]`, float32.

    Returns:
        `[rows, labels]`, float32.
    """
    middle = (len(readings) - 1) // 2
    voted: Floats = np.partition(readings, middle, axis=0)[middle]
    return voted


def matched_mean(readings: Floats) -> Floats:
    """The mean reading, mapped label by label to the distribution that single readings of these rows have.

    Args:
        readings: `[jobs, rows, labels]`, float32.

    Returns:
        `[rows, labels]`, float32.
    """
    mean: Floats = readings.mean(axis=0)
    return match_distribution(mean, readings.reshape(-1, readings.shape[-1]))
