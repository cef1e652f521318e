"""What the stacker sees of a label: the members' log-odds for it and for related labels, and the record's features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.ensemble.odds import logit
from polydx.ensemble.record_features import RecordFeatures
from polydx.judge.metrics import Mask

Integers = npt.NDArray[np.int64]
_RELATED_LABELS = 4
_KINDS = {
    "log-odds by ": "members' log-odds",
    "rate ": "neighbours' labels",
    "opinions ": "neighbours' opinions",
    "log-odds of ": "related labels",
    "highest ": "all labels together",
    "expected ": "all labels together",
    "label": "which label",
}
"""Kinds of columns by how `column_names` begins; what begins otherwise is the record's own."""


@dataclass(frozen=True)
class StackInputs:
    """What the stacker sees of some rows.

    Attributes:
        members: `[members, rows, labels]`, float32, probabilities.
        rates: `[views, rows, labels]`, float32, label rates around the rows and what the members say of the neighbours
            there; no views where they are off.
        records: Features of the same rows.
    """

    members: Floats
    rates: Floats
    records: RecordFeatures

    def take(self, rows: Mask) -> "StackInputs":
        """The inputs of some rows: `rows` is `[rows]`, bool."""
        return StackInputs(self.members[:, rows], self.rates[:, rows], self.records.take(rows))


class StackColumns:
    """Builds what the stacker sees of one label at a time.

    Attributes:
        related: `[labels, related labels]`, whose mean log-odds each label sees.
    """

    def __init__(self, inputs: StackInputs, related: Integers | None = None) -> None:
        """Related labels are found in these very inputs where none are given."""
        self._odds, self._rates, self._records = logit(inputs.members), inputs.rates, inputs.records
        self._mean = self._odds.mean(axis=0)
        self._highest = self._mean.max(axis=1)
        self._expected = inputs.members.mean(axis=0).sum(axis=1)
        self.related = _related_labels(self._mean) if related is None else related

    def own(self, label: int, rows: Integers | slice = slice(None)) -> Floats:
        """The members' log-odds of some rows: `[rows, members]`."""
        return self._odds[:, rows, label].T

    def design(self, label: int, rows: Integers | slice = slice(None)) -> Floats:
        """All columns of some rows, as `column_names` calls them: `[rows, columns]`, float32."""
        highest = self._highest[rows]
        return np.column_stack(
            [
                self.own(label, rows),
                self._rates[:, rows, label].T,
                *(self._mean[rows, other] for other in self.related[label]),
                highest,
                self._expected[rows],
                np.full_like(highest, label),
                self._records.values[rows],
            ]
        )

    def categorical(self) -> list[int]:
        """Columns whose values are codes: the label, and the record's own."""
        first = len(self._odds) + len(self._rates) + self.related.shape[1] + 3
        return [first - 1, *(first + index for index in self._records.categorical)]


def column_names(members: Sequence[str], views: Sequence[str], records: RecordFeatures, related: int) -> list[str]:
    """What the stacker's columns are called, in their order."""
    return [
        *(f"log-odds by {member}" for member in members),
        *views,
        *(f"log-odds of related label {place + 1}" for place in range(related)),
        "highest log-odds of the record",
        "expected labels of the record",
        "label",
        *records.names,
    ]


def column_kind(name: str) -> str:
    """What kind of knowledge a column of `column_names` holds, in words."""
    return next((kind for beginning, kind in _KINDS.items() if name.startswith(beginning)), "the record's features")


def _related_labels(mean_odds: Floats) -> Integers:
    """The labels whose mean log-odds go most with each label's: `[labels, up to _RELATED_LABELS]`."""
    # Summed in float32, a million rows of a rare label would lose the few that tell of it.
    centred = mean_odds - mean_odds.mean(axis=0, dtype=np.float64).astype(np.float32)
    size = np.sqrt((centred**2).sum(axis=0, dtype=np.float64))
    correlation = np.abs(centred.T @ centred) / np.maximum(np.outer(size, size), 1e-12)
    np.fill_diagonal(correlation, -1)
    return np.argsort(-correlation, axis=1, kind="stable")[:, : min(_RELATED_LABELS, len(size) - 1)]
