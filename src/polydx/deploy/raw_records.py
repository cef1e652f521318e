"""Raw records as a shipped student takes them: surveyed first, then read one by one."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from polydx.contest.files import opening
from polydx.contest.readers import RawRecord, require_columns, stream_table
from polydx.contest.tables import READ_WHOLE, TableLayout, format_of
from polydx.deploy.student_card import StudentCard
from polydx.errors import UserError
from polydx.names import TableFormat

FAULTS_NAMED = 10
"""Malformed records that an error names; the others are counted."""
SETTING = "--input"


@dataclass(frozen=True)
class Survey:
    """What a table holds.

    Attributes:
        records: Sound records.
        malformed: Malformed ones.
        named: The first few of them, by number and problem.
    """

    records: int
    malformed: int
    named: tuple[str, ...]

    def faults(self) -> str:
        """The malformed records in words."""
        more = self.malformed - len(self.named)
        return ", ".join(self.named) + (f" and {more} more" if more else "")

    def refuse_faults(self, source: Path, fix: str) -> None:
        """See that no record is malformed.

        Raises:
            UserError: Some are.
        """
        if self.malformed:
            of = f"{self.malformed} of {self.malformed + self.records} records are malformed"
            raise UserError(str(source), f"{of}: {self.faults()}", fix)


def refuse_stream(source: Path) -> None:
    """See that records can be read twice: a pipe would be surveyed, and then found empty.

    Raises:
        UserError: They lie in no regular file.
    """
    with opening(source, SETTING):
        if source.exists() and not source.is_file():
            fix = f"save them in a file and name it in {SETTING}"
            raise UserError(str(source), "is no regular file, and records are read twice", fix)


def take_survey(source: Path, card: StudentCard, kind: TableFormat = "auto") -> Survey:
    """Read a table through and count what it holds.

    Raises:
        UserError: It can't be read, lacks a column, or has no record.
    """
    records, malformed = 0, 0
    named: list[str] = []
    seen: set[str] = set()
    for row in stream_table(source, _layout(card, kind), card.columns, SETTING, seen):
        if isinstance(row, RawRecord):
            records += 1
            continue
        malformed += 1
        if len(named) < FAULTS_NAMED:
            named.append(f"{row.place.removeprefix(f'{source}, ')} ({row.problem})")
    if seen:
        require_columns(source, seen, card.columns.features)
    if records + malformed == 0:
        raise UserError(str(source), "holds no record", f"put records into it or correct {SETTING}")
    return Survey(records, malformed, tuple(named))


def sound_records(
    source: Path, card: StudentCard, kind: TableFormat = "auto", *, skip_bad: bool = True
) -> Iterator[RawRecord]:
    """Yield the records of a table that aren't malformed, in its order.

    Raises:
        UserError: It can't be read, or a record is malformed and not to be skipped.
    """
    for row in stream_table(source, _layout(card, kind), card.columns, SETTING):
        if isinstance(row, RawRecord):
            yield row
        elif not skip_bad:
            raise row


def is_read_whole(source: Path, card: StudentCard, kind: TableFormat = "auto") -> bool:
    """Whether a table's format can't be streamed."""
    return format_of(source, _layout(card, kind)) in READ_WHOLE


def _layout(card: StudentCard, kind: TableFormat) -> TableLayout:
    return TableLayout(kind, card.separator, card.encoding)
