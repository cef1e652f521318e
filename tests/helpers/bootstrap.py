"""Intervals straight from decisions; the ledger takes the same from resamples that its entries share."""

from polydx.judge.intervals import Interval, paired_interval, resampled_macro_f1, score_interval
from polydx.judge.metrics import Mask, macro_f1


def macro_f1_interval(decided: Mask, targets: Mask, *, samples: int, seed: int) -> Interval:
    """Interval of macro-F1 when records are drawn again with replacement."""
    return score_interval(resampled_macro_f1(decided, targets, samples=samples, seed=seed), macro_f1(decided, targets))


def difference_interval(first: Mask, second: Mask, targets: Mask, *, samples: int, seed: int) -> Interval:
    """Interval of macro-F1 of `first` minus that of `second` on the same resampled records."""
    of_first, of_second = (
        resampled_macro_f1(decided, targets, samples=samples, seed=seed) for decided in (first, second)
    )
    return paired_interval(of_first - of_second, macro_f1(first, targets) - macro_f1(second, targets))
