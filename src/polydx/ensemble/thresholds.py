"""From probabilities to decided labels: thresholds for macro-F1, and the fewest and most labels of a record.

Macro-F1 falls apart into one F1 a label, so each label's best threshold is found by itself, exactly: one sort, then
the F1 of every cut between adjacent scores. For a label with few positives the best cut is mostly noise, and for one
the model knows nothing of it predicts every row (Lipton 2014), so a rare label's threshold is pulled towards the
pooled one.
"""

from dataclasses import dataclass

import numpy as np

from polydx.artifacts import Floats
from polydx.ensemble.odds import log_odds, probability
from polydx.judge.metrics import Mask, Scores

NOTHING_KNOWN = 1.0
"""Threshold of a label without a positive among the fitted rows."""
_SMALLEST = 1e-6
"""Margins divide by no smaller threshold."""


@dataclass(frozen=True)
class DecisionRule:
    """How thresholds are fitted and turned into decisions.

    Attributes:
        prior: Positives' worth of pull of a label's threshold towards the pooled one.
        min_labels: Fewest labels of a record.
        max_labels: Most labels of a record.
    """

    prior: float
    min_labels: int
    max_labels: int

    def fit(self, probabilities: Floats, targets: Mask) -> Scores:
        """Thresholds `[labels]` from `[rows, labels]`; see `shrunk_thresholds`."""
        return shrunk_thresholds(probabilities, targets, self.prior)

    def decide(self, probabilities: Floats, thresholds: Scores) -> Mask:
        """Decided labels `[rows, labels]`; see `decide`."""
        return decide(probabilities, thresholds, self.min_labels, self.max_labels)

    def __call__(self, fitting: Floats, targets: Mask, probabilities: Floats) -> Mask:
        """Decide rows by thresholds fitted on others."""
        return self.decide(probabilities, self.fit(fitting, targets))


def f1_threshold(probabilities: Floats, targets: Mask) -> float:
    """Threshold `t` with the highest F1 of `probabilities >= t` on these rows, exactly, in O(n log n).

    It lies midway between the two adjacent scores that it parts: the lowest predicted score itself would shut out rows
    that come a hair below it. Of equally good cuts the one that predicts fewest rows wins.

    Args:
        probabilities: `[rows]`, float32 in [0, 1].
        targets: `[rows]`, bool.

    Returns:
        The threshold; `NOTHING_KNOWN` without a positive.

    Raises:
        ValueError: A probability lies outside [0, 1] or is NaN.
    """
    if not (probabilities.min(initial=0) >= 0 and probabilities.max(initial=0) <= 1):
        raise ValueError("probabilities outside [0, 1]")
    positives = int(targets.sum())
    if positives == 0:
        return NOTHING_KNOWN
    # Floats from 0 to 1 order like their bits, which leave the top bit free: score and target sort as one integer.
    bits = (probabilities.astype(np.float32) + np.float32(0)).view(np.uint32)
    keys = np.sort((bits << np.uint32(1)) | targets)[::-1]
    scores = (keys >> np.uint32(1)).view(np.float32)
    hits = np.cumsum(keys & np.uint32(1), dtype=np.int64)
    f1 = 2 * hits / (np.arange(1, len(keys) + 1) + positives)
    f1[:-1][scores[:-1] == scores[1:]] = 0  # rows with one score can't be parted
    last = int(np.argmax(f1))
    below = float(scores[last + 1]) if last + 1 < len(scores) else 0.0
    return (float(scores[last]) + below) / 2


def f1_thresholds(probabilities: Floats, targets: Mask) -> Scores:
    """`f1_threshold` of every label: `[labels]`, float64, from `[rows, labels]`."""
    columns = np.ascontiguousarray(probabilities.T)
    return np.array([f1_threshold(column, target) for column, target in zip(columns, targets.T, strict=True)])


def pooled_threshold(probabilities: Floats, targets: Mask) -> float:
    """The one threshold for all labels with the highest F1 over all (row, label) pairs."""
    return f1_threshold(probabilities.ravel(), targets.ravel())


def shrunk_thresholds(probabilities: Floats, targets: Mask, prior: float) -> Scores:
    """Each label's best threshold, pulled towards the pooled one as if that stood for `prior` more positives.

    The mean is taken on log-odds, since a rare label's good thresholds lie far below the pooled one.

    Args:
        probabilities: `[rows, labels]`, float32 in [0, 1]; out of fold for the model behind them.
        targets: `[rows, labels]`, bool.
        prior: Positives' worth of pull; 0 leaves every label that has a positive alone.

    Returns:
        `[labels]`, float64, inside (0, 1].
    """
    positives = targets.sum(axis=0)
    trust = np.divide(positives, positives + prior, out=np.zeros(len(positives)), where=positives > 0)
    own, pooled = f1_thresholds(probabilities, targets), pooled_threshold(probabilities, targets)
    shrunk = probability(trust * log_odds(own) + (1 - trust) * log_odds(pooled))
    return np.where(trust == 1, own, shrunk)


def decide(probabilities: Floats, thresholds: Scores, min_labels: int, max_labels: int) -> Mask:
    """Labels at or above their threshold, at least `min_labels` and at most `max_labels` a record.

    Labels are ranked by the ratio of probability to threshold; a tie goes to the label that comes first.

    Args:
        probabilities: `[rows, labels]`, in [0, 1].
        thresholds: `[labels]`.
        min_labels: Fewest labels of a record.
        max_labels: Most labels of a record.

    Returns:
        `[rows, labels]`, bool.
    """
    margins = probabilities / np.maximum(thresholds, _SMALLEST)
    order = np.argsort(-margins, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(order.shape[1])[None, :], axis=1)
    mask: Mask = ((probabilities >= thresholds) | (rank < min_labels)) & (rank < max_labels)
    return mask
