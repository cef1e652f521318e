"""Bootstrap intervals over records: how far a macro-F1, or the difference of two, could move with other records.

A resample lacks some records of a rare label, often all of them, and a label without a record counts 0: macro-F1 on
resamples lies below the score that they surround. That bias, as the bootstrap itself tells it (Efron and Tibshirani
1993, section 10.2), is taken off, or the interval of a score with many rare labels would lie beside it.
"""

import numpy as np

from polydx.judge.metrics import Mask, Scores, ratio

LEVEL = 0.95
"""Share of the resamples that an interval holds."""
_CHUNK_CELLS = 4_000_000

Interval = tuple[float, float]


def score_interval(resampled: Scores, score: float) -> Interval:
    """Interval of a score in [0, 1] from the same on resamples, `[samples]`."""
    low, high = _centred(resampled, score)
    return max(low, 0.0), min(high, 1.0)


def paired_interval(resampled: Scores, difference: float) -> Interval:
    """Interval of a difference of two scores from the differences on the same resamples, `[samples]`."""
    low, high = _centred(resampled, difference)
    return max(low, -1.0), min(high, 1.0)


def _centred(resampled: Scores, estimate: float) -> Interval:
    """The middle `LEVEL` of values on resamples, moved by the bootstrap's bias: their mean becomes the estimate."""
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) - resampled.mean() + estimate
    return float(low), float(high)


def resampled_macro_f1(decided: Mask, targets: Mask, *, samples: int, seed: int) -> Scores:
    """Macro-F1 over all labels on each resample, `[samples]`.

    A resample is a row of counts that says how often each record was drawn, so that the label counts of many resamples
    are one matrix product. In float32 they stay exact below 2^23 rows: a label's sizes reach twice as many.

    Args:
        decided: `[rows, labels]`, bool.
        targets: `[rows, labels]`, bool.
        samples: Resamples.
        seed: Seed of the resamples; equal seeds draw the same rows, whatever the decisions.
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
