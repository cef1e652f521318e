"""F1 scores of decided labels. Every function takes bool arrays `[rows, labels]`; a score without a case is 0."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]
BETA = 2.0
"""Of F-beta beside F1: a missed diagnosis weighs more than one too many."""


@dataclass(frozen=True)
class LabelScores:
    """Scores of each label, all `[labels]`; counts are int64, the rest float64 in [0, 1]."""

    true_positives: npt.NDArray[np.int64]
    false_positives: npt.NDArray[np.int64]
    false_negatives: npt.NDArray[np.int64]
    precision: Scores
    recall: Scores
    f1: Scores

    def f_beta(self, beta: float) -> Scores:
        """F-beta of each label, (1 + b²) tp / ((1 + b²) tp + b² fn + fp): recall counts beta times as much."""
        weighted = (1 + beta**2) * self.true_positives
        return ratio(weighted, weighted + beta**2 * self.false_negatives + self.false_positives)


def label_scores(decided: Mask, targets: Mask) -> LabelScores:
    """Count hits and misses of each label and score them.

    Raises:
        ValueError: The arrays' shapes differ.
    """
    if decided.shape != targets.shape:
        raise ValueError(f"decisions of shape {decided.shape} for targets of shape {targets.shape}")
    true_positives = (decided & targets).sum(axis=0, dtype=np.int64)
    predicted = decided.sum(axis=0, dtype=np.int64)
    positives = targets.sum(axis=0, dtype=np.int64)
    return LabelScores(
        true_positives,
        predicted - true_positives,
        positives - true_positives,
        ratio(true_positives, predicted),
        ratio(true_positives, positives),
        ratio(2 * true_positives, predicted + positives),
    )


def summary(decided: Mask, targets: Mask) -> dict[str, float]:
    """Every score of a whole table of decisions by its name in ledgers and score cards."""
    scores = label_scores(decided, targets)
    return {
        "macro_f1": float(scores.f1.mean()),
        "macro_f1_present": macro_f1_present(decided, targets),
        "micro_f1": micro_f1(decided, targets),
        "samples_f1": samples_f1(decided, targets),
        "macro_precision": float(scores.precision.mean()),
        "macro_recall": float(scores.recall.mean()),
        f"macro_f{BETA:g}": float(scores.f_beta(BETA).mean()),
    }


def macro_f1(decided: Mask, targets: Mask) -> float:
    """Unweighted mean of F1 over all labels; a label that is neither present nor predicted counts 0."""
    return float(label_scores(decided, targets).f1.mean())


def macro_f1_present(decided: Mask, targets: Mask) -> float:
    """Mean of F1 over the labels that are present in the targets; 0 when there is none."""
    present = targets.any(axis=0)
    return float(label_scores(decided, targets).f1[present].mean()) if present.any() else 0.0


def micro_f1(decided: Mask, targets: Mask) -> float:
    """F1 of all (row, label) pairs together."""
    return float(ratio(2 * (decided & targets).sum(), decided.sum() + targets.sum()))


def samples_f1(decided: Mask, targets: Mask) -> float:
    """Mean over rows of each row's F1; a row with nothing to find and nothing predicted counts 0."""
    hits = (decided & targets).sum(axis=1)
    return float(ratio(2 * hits, decided.sum(axis=1) + targets.sum(axis=1)).mean())


def best_constant_prediction_f1(targets: Mask) -> float:
    """Best macro-F1 of a prediction that ignores the record: every label for every row, 2p/(1+p) for prevalence p."""
    return macro_f1(np.ones_like(targets), targets)


def ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Scores:
    """Divide, with 0 where the denominator is 0 (scikit-learn's `zero_division=0`)."""
    above, below = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    return np.divide(above, below, out=np.zeros(np.broadcast(above, below).shape), where=below > 0)
