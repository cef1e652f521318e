"""From probabilities to decided labels: thresholds for macro-F1, and the fewest and most labels of a record.

Macro-F1 falls apart into one F1 a label, so each label's best threshold is found by itself, exactly (`cuts`). For a
label with few positives the best cut is mostly noise, and for one the model knows nothing of it predicts every row
(Lipton 2014), so a rare label's threshold is pulled towards the pooled one.
"""

from dataclasses import dataclass
from typing import assert_never

import numpy as np

from polydx.artifacts import Floats
from polydx.ensemble.calibration import fit_platt
from polydx.ensemble.cuts import best_cuts, best_pooled_cut
from polydx.ensemble.odds import logit, probability
from polydx.judge.metrics import Mask, Scores
from polydx.names import ThresholdMethod

_SMALLEST = 1e-6
"""Margins divide by no smaller threshold."""
_BLOCK_CELLS = 1_000_000
"""Cells that are ranked at a time, so that ranking takes little memory beside a large table."""


@dataclass(frozen=True)
class DecisionRule:
    """How thresholds are fitted and turned into decisions.

    Attributes:
        prior: Positives' worth of pull of a label's threshold towards the pooled one.
        min_labels: Fewest labels of a record.
        max_labels: Most labels of a record.
        method: `shrunk` for `shrunk_thresholds`, `pooled` for one `pooled_threshold` for all labels, or `half_f1` for
            `half_f1_thresholds`.
        threads: Threads of the search.
    """

    prior: float
    min_labels: int
    max_labels: int
    method: ThresholdMethod
    threads: int = 1

    def fit(self, probabilities: Floats, targets: Mask) -> Scores:
        """Thresholds `[labels]` from `[rows, labels]`."""
        match self.method:
            case "pooled":
                return np.full(targets.shape[1], pooled_threshold(probabilities, targets, threads=self.threads))
            case "half_f1":
                return half_f1_thresholds(probabilities, targets, self.prior, threads=self.threads)
            case "shrunk":
                return shrunk_thresholds(probabilities, targets, self.prior, threads=self.threads)
            case _:
                assert_never(self.method)

    def decide(self, probabilities: Floats, thresholds: Scores) -> Mask:
        """Decided labels `[rows, labels]`; see `decide`."""
        return decide(probabilities, thresholds, self.min_labels, self.max_labels)

    def __call__(self, fitting: Floats, targets: Mask, probabilities: Floats) -> Mask:
        """Decide rows by thresholds fitted on others."""
        return self.decide(probabilities, self.fit(fitting, targets))


def f1_thresholds(probabilities: Floats, targets: Mask, *, threads: int = 1) -> Scores:
    """Each label's threshold `t` with the highest F1 of `probabilities >= t` on these rows; see `best_cuts`.

    Args:
        probabilities: `[rows, labels]`, float32 in [0, 1].
        targets: `[rows, labels]`, bool.
        threads: Threads of the search.

    Returns:
        `[labels]`, float64; `NOTHING_KNOWN` for a label without a positive.

    Raises:
        ValueError: A probability lies outside [0, 1] or is NaN.
    """
    return best_cuts(probabilities, targets, threads=threads).thresholds


def pooled_threshold(probabilities: Floats, targets: Mask, *, threads: int = 1) -> float:
    """The one threshold for all labels with the highest F1 over all (row, label) pairs; see `best_pooled_cut`."""
    return best_pooled_cut(probabilities, targets, threads=threads)[0]


def shrunk_thresholds(probabilities: Floats, targets: Mask, prior: float, *, threads: int = 1) -> Scores:
    """Each label's best threshold, pulled towards the pooled one as if that stood for `prior` more positives.

    The mean is taken on log-odds, since a rare label's good thresholds lie far below the pooled one.

    Args:
        probabilities: `[rows, labels]`, float32 in [0, 1]; out of fold for the model behind them.
        targets: `[rows, labels]`, bool.
        prior: Positives' worth of pull; 0 leaves every label that has a positive alone.
        threads: Threads of the search.

    Returns:
        `[labels]`, float64 in [0, 1]; 0 only without a prior, for a label that is best named always.
    """
    own = f1_thresholds(probabilities, targets, threads=threads)
    return _pull(own, pooled_threshold(probabilities, targets, threads=threads), targets, prior)


def half_f1_thresholds(probabilities: Floats, targets: Mask, prior: float, *, threads: int = 1) -> Scores:
    """Half of each label's highest F1, on the scale of calibrated probabilities (Lipton 2014).

    The optimal threshold of a calibrated probability is F*/2. F* is the same on any scale that keeps the order, so the
    search runs on the probabilities as they are, and a Platt fit alone carries F*/2 back to their scale. The height of
    the best F1 wavers less than its place.

    Args:
        probabilities: `[rows, labels]`, float32 in [0, 1]; out of fold for the model behind them.
        targets: `[rows, labels]`, bool.
        prior: Positives' worth of pull of the Platt fit towards leaving the probabilities as they are, and of F*
            towards that of all labels pooled.
        threads: Threads of the search.

    Returns:
        `[labels]`, float64, inside (0, 1).
    """
    own = best_cuts(probabilities, targets, threads=threads).f1 / 2
    pooled = best_pooled_cut(probabilities, targets, threads=threads)[1] / 2
    return fit_platt(probabilities, targets, prior).inverse(_pull(own, pooled, targets, prior))


def _pull(own: Scores, pooled: float, targets: Mask, prior: float) -> Scores:
    """Means of a value of each label and the pooled one, on log-odds, by the labels' positives: `[labels]`."""
    positives = targets.sum(axis=0)
    trust = np.divide(positives, positives + prior, out=np.zeros(len(positives)), where=positives > 0)
    pulled = probability(trust * logit(own) + (1 - trust) * logit(pooled))
    return np.where(trust == 1, own, pulled)


def decide(probabilities: Floats, thresholds: Scores, min_labels: int, max_labels: int) -> Mask:
    """Labels at or above their threshold, at least `min_labels` and at most `max_labels` a record.

    Labels are ranked by the ratio of probability to threshold; a tie goes to the label that comes first.

    Args:
        probabilities: `[rows, labels]`, in [0, 1].
        thresholds: `[labels]`.
        min_labels: Fewest labels of a record.
        max_labels: Most labels of a record, no fewer than `min_labels`.

    Returns:
        `[rows, labels]`, bool.
    """
    decided: Mask = probabilities >= thresholds
    counts = decided.sum(axis=1)
    # Most records keep to the limits: only the others are worth ranking.
    block = max(1, _BLOCK_CELLS // len(thresholds))
    for outside, wanted in ((counts < min_labels, min_labels), (counts > max_labels, max_labels)):
        rows = np.flatnonzero(outside)
        for start in range(0, len(rows), block):
            here = rows[start : start + block]
            decided[here] = _first(probabilities[here], thresholds, decided[here], wanted)
    return decided


def _first(probabilities: Floats, thresholds: Scores, decided: Mask, wanted: int) -> Mask:
    """The first so many labels of each row by their rank: `[rows, labels]`, bool."""
    margins = probabilities / np.maximum(thresholds, _SMALLEST)
    if wanted == 1 and not decided.any():
        places = margins.argmax(axis=1)[:, None]
    else:
        # A label above its threshold comes first, whatever a division by next to nothing says.
        places = np.lexsort((-margins, ~decided), axis=1)[:, :wanted]
    picked = np.zeros(margins.shape, dtype=bool)
    np.put_along_axis(picked, places, True, axis=1)
    return picked
