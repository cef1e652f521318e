"""Bootstrap intervals over records: how far a macro-F1, or the difference of two, could move with other records."""

import numpy as np

from polydx.judge.metrics import Mask, Scores, ratio

LEVEL = 0.95
"""Share of the resamples that an interval holds."""
_CHUNK_CELLS = 4_000_000

Interval = tuple[float, float]


def macro_f1_interval(decided: Mask, targets: Mask, *, samples: int, seed: int) -> Interval:
    """Percentile interval of macro-F1 over all labels when records are drawn again with replacement.

    Args:
        decided: `[rows, labels]`, bool.
        targets: `[rows, labels]`, bool.
        samples: Resamples.
        seed: Seed of the resamples; equal seeds draw the same rows, whatever the decisions.
    """
    return interval(resampled_macro_f1(decided, targets, samples=samples, seed=seed))


def difference_interval(first: Mask, second: Mask, targets: Mask, *, samples: int, seed: int) -> Interval:
    """Percentile interval of macro-F1 of `first` minus that of `second` on the same resampled records."""
    of_first, of_second = (
        resampled_macro_f1(decided, targets, samples=samples, seed=seed) for decided in (first, second)
    )
    return interval(of_first - of_second)


def interval(values: Scores) -> Interval:
    """The middle `LEVEL` of values on resamples: `[samples]`; of a paired difference, take it of the differences."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def resampled_macro_f1(decided: Mask, targets: Mask, *, samples: int, seed: int) -> Scores:
    """Macro-F1 on each resample, `[samples]`; arguments as in `macro_f1_interval`.

    A resample is a row of counts that says how often each record was drawn, so that the label counts of many resamples
    are one matrix product. In float32 they stay exact below 2^24 rows.
    """
    rows = len(targets)
    hits, sizes = (decided & targets).astype(np.float32), decided.astype(np.float32) + targets
    draw = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_CELLS // rows)
    scores = []
    for start in range(0, samples, chunk):
        counts = _draw_counts(draw, min(chunk, samples - start), rows)
        scores.append(ratio(2 * (counts @ hits), counts @ sizes).mean(axis=1))
    return np.concatenate(scores)


def _draw_counts(
    draw: np.random.Generator, samples: int, rows: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    drawn = draw.integers(0, rows, (samples, rows)) + rows * np.arange(samples)[:, None]
    return np.bincount(drawn.ravel(), minlength=samples * rows).reshape(samples, rows).astype(np.float32)
