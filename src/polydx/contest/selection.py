"""Which raw records become rows of the run, with their official labels."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from polydx.contest.readers import RawRecord
from polydx.contest.records import TEST, TRAIN, UNLABELLED
from polydx.contest.validate import RawContest
from polydx.names import WithoutLabels

NO_LABEL, NO_TEXT = "no official label", "no text after cleaning"


@dataclass(frozen=True)
class Candidate:
    """A raw record, the part and place in its table it has, and its official labels."""

    part: str
    row: int
    record: RawRecord
    labels: tuple[str, ...]


@dataclass
class Selection:
    """What became of labels and of whole records.

    Attributes:
        aliases: Labels by the spelling that an alias replaced.
        unofficial: Records by the label dropped from them.
        repeated: Labels that a record had already.
        dropped: Id, part and reason of every record left out.
        test_without_text: Ids of test records without text; they stay, since each needs an answer.
    """

    aliases: Counter[str] = field(default_factory=Counter)
    unofficial: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    dropped: list[dict[str, str]] = field(default_factory=list)
    test_without_text: list[str] = field(default_factory=list)

    def candidates(self, raw: RawContest, without_labels: WithoutLabels) -> Iterator[Candidate]:
        """Yield all records, train, test, unlabelled.

        Args:
            raw: The raw contest.
            without_labels: Whether training records without an official label are left out.
        """
        for row, record in enumerate(raw.train):
            resolved = raw.names.resolve(record.labels)
            self.aliases.update(resolved.aliased)
            self.unofficial.update(resolved.unofficial)
            self.repeated += resolved.repeated
            if resolved.labels or without_labels == "keep":
                yield Candidate(TRAIN, row, record, resolved.labels)
            else:
                self._drop(TRAIN, record, NO_LABEL)
        for part, records in ((TEST, raw.test), (UNLABELLED, raw.unlabelled)):
            for row, record in enumerate(records):
                yield Candidate(part, row, record, ())

    def keeps(self, candidate: Candidate, text: str) -> bool:
        """Whether a record stays, given its cleaned text, which may be empty."""
        if text:
            return True
        if candidate.part == TEST:
            self.test_without_text.append(candidate.record.id)
            return True
        self._drop(candidate.part, candidate.record, NO_TEXT)
        return False

    def report(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "dropped": self.dropped,
            "test_without_text": self.test_without_text,
            "labels": {
                "aliases_replaced": dict(sorted(self.aliases.items())),
                "unofficial_dropped": dict(sorted(self.unofficial.items())),
                "repeated_dropped": self.repeated,
            },
        }

    def _drop(self, part: str, record: RawRecord, reason: str) -> None:
        self.dropped.append({"id": record.id, "part": part, "reason": reason})
