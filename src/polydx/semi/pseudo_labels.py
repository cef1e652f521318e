"""Which rows without labels a model is sure enough about to be taught by."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.names import PseudoCutoff

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Confidence:
    """What counts as sure.

    Attributes:
        cutoff: `fixed`: a label is present above `positive_above`. `prior`: it is present in as many rows as its share
            among the labelled rows makes, the likeliest first, but never at or below `negative_below`.
        positive_above: See `cutoff`; unused by `prior`.
        negative_below: A label is absent below this.
    """

    cutoff: PseudoCutoff
    positive_above: float
    negative_below: float


@dataclass(frozen=True)
class PseudoLabels:
    """The rows taken and what they teach.

    Attributes:
        rows: `[taken]`, int64, ascending.
        soft_labels: `[taken, labels]`, float32 in [0, 1].
        positives: `[labels]`, int64, rows taken in which each label is present.
    """

    rows: npt.NDArray[np.int64]
    soft_labels: Floats
    positives: npt.NDArray[np.int64]


def choose(
    probabilities: Floats,
    confidence: Confidence,
    *,
    prior: Floats,
    hard: bool,
    max_rows: int,
    without_labels: bool,
) -> PseudoLabels:
    """Take the rows whose every label is surely present or surely absent.

    A row's confidence is that of its least sure label: max(p, 1 - p) where probabilities are taught as they are; where
    hard answers are, what the model gives the answer, which under `prior` may be below a half for a present label. When
    more than `max_rows` qualify, the most confident stay, of equal ones the first.

    Args:
        probabilities: `[rows, labels]`, of models that never saw the validation labels of the fold to be trained.
        confidence: What counts as sure.
        prior: `[labels]`, each label's share among the fold's labelled rows.
        hard: Teach 0 and 1 instead of the probabilities.
        max_rows: Most rows to take.
        without_labels: Whether a row may have no label at all. Where every labelled row has one, a row in which the
            model finds nothing is one it fails on, not one to learn from.
    """
    present = _present(probabilities, confidence, prior)
    sure = (present | (probabilities < confidence.negative_below)).all(axis=1)
    if not without_labels:
        sure &= present.any(axis=1)
    candidates = np.flatnonzero(sure)
    answers = present if hard else probabilities > 0.5
    weakest = np.where(answers, probabilities, 1 - probabilities)[candidates].min(axis=1)
    rows = np.sort(candidates[np.argsort(-weakest, kind="stable")][:max_rows])
    taught = present if hard else probabilities
    return PseudoLabels(rows, taught[rows].astype(np.float32), present[rows].sum(axis=0))


def _present(probabilities: Floats, confidence: Confidence, prior: Floats) -> Mask:
    """`[rows, labels]`: which labels are surely present."""
    if confidence.cutoff == "fixed":
        return np.asarray(probabilities > confidence.positive_above)
    counts = np.rint(prior * len(probabilities)).astype(np.int64)
    present = np.zeros(probabilities.shape, dtype=bool)
    for label, count in enumerate(counts):
        present[np.argsort(-probabilities[:, label], kind="stable")[:count], label] = True
    return present & (probabilities > confidence.negative_below)
