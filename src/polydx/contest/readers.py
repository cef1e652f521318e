"""Raw records: the rows of a table with their columns in their roles.

This is where test labels end: a table read without labels loses its label column while it is being read, and nothing
behind `read_table` can see it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from polydx.contest.cells import Order, id_of, labels_of, number_of, order_of, scalar_of, text_of
from polydx.contest.files import read_text, shown
from polydx.contest.rows import Row
from polydx.contest.tables import TableLayout, read_rows, stream_rows
from polydx.errors import UserError

IDENTIFIER = re.compile(r"[A-Za-z0-9_.-]+")
COLUMNS_NAMED = 20
"""Columns that an error names where one is missing."""


@dataclass(frozen=True)
class ColumnRoles:
    """Which column plays which role; the fields of the setting `contest.columns`.

    Attributes:
        id: The record's unique id.
        sections: Text columns in reading order.
        age: The age in any spelling, or None.
        sex: The sex, or None.
        numbers: Other numeric columns.
        categories: Other categorical columns.
        labels: The labels.
        label_delimiter: What separates labels in a text; None where the column holds a list.
        order: Numbers or dates that order the records, or None.
    """

    id: str
    sections: tuple[str, ...]
    age: str | None
    sex: str | None
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    labels: str
    label_delimiter: str | None
    order: str | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """Every column but the labels."""
        optional = [column for column in (self.age, self.sex, self.order) if column is not None]
        return (self.id, *self.sections, *optional, *self.numbers, *self.categories)


@dataclass(frozen=True)
class RawRecord:
    """One record as it came.

    Attributes:
        place: File and line, row or record number (from 1), for errors.
        id: Its id.
        sections: Text of each section, None where there is none, in the order of the roles.
        age: Age as written, or None.
        sex: Sex as written, or None.
        numbers: NaN where missing, in the order of the roles.
        categories: None where missing, in the order of the roles.
        labels: Label spellings as written, without surrounding white space; empty when read without labels.
        order: What orders it among the records; None where it is missing or no column has that role.
    """

    place: str
    id: str
    sections: tuple[str | None, ...]
    age: str | None
    sex: str | None
    numbers: tuple[float, ...]
    categories: tuple[str | None, ...]
    labels: tuple[str, ...]
    order: Order | None


def read_table(path: Path, layout: TableLayout, roles: ColumnRoles, with_labels: bool, setting: str) -> list[RawRecord]:
    """Read one table of records.

    Args:
        path: The file.
        layout: How it is stored.
        roles: Its columns.
        with_labels: Whether its labels are wanted; if not, a label column in it is dropped at once.
        setting: The setting that names the file, for errors.

    Raises:
        UserError: The file or a record in it is malformed.
    """
    rows = read_rows(path, layout, setting, leave_out=None if with_labels else roles.labels)
    present = {name for row in rows for name in row.cells}
    require_columns(path, present, (*roles.features, roles.labels) if with_labels else roles.features)
    return [_record(row, roles, with_labels) for row in rows]


def stream_table(
    path: Path, layout: TableLayout, roles: ColumnRoles, setting: str, seen: set[str] | None = None
) -> Iterator[RawRecord | UserError]:
    """Yield a table's records without their labels, in order; in place of a malformed one, its fault.

    Args:
        path: The file.
        layout: How it is stored.
        roles: Its columns; `require_columns` tells, after all rows, whether they were there.
        setting: The setting that names the file, for errors.
        seen: Gets the names of the columns that rows had.

    Raises:
        UserError: The file as a whole can't be read.
    """
    for row in stream_rows(path, layout, setting, leave_out=roles.labels):
        if isinstance(row, UserError):
            yield row
            continue
        if seen is not None:
            seen.update(row.cells)
        try:
            yield _record(row, roles, with_labels=False)
        except UserError as fault:
            yield fault


def record_of(cells: Mapping[str, object], roles: ColumnRoles, place: str) -> RawRecord:
    """Return the record, without labels, that one row's cells make.

    Args:
        cells: Values by column.
        roles: The columns' roles.
        place: Where it came from, for errors.

    Raises:
        UserError: It is malformed.
    """
    return _record(Row(place, dict(cells)), roles, with_labels=False)


def require_columns(path: Path, present: Iterable[str], columns: Iterable[str]) -> None:
    """Refuse a table in which a column is nowhere.

    Raises:
        UserError: `columns` has one that isn't `present`.
    """
    there, wanted = set(present), list(columns)
    for column in wanted:
        if column not in there:
            names = [_shown_name(name) for name in sorted(there)[:COLUMNS_NAMED]]
            fix = "correct contest.columns or the file's column names"
            if there.isdisjoint(wanted):
                fix += "; its first line must name the columns"
            raise UserError(str(path), f"has no column {column!r} (it has {', '.join(names)})", fix)


def _shown_name(name: str) -> str:
    """A column's name for an error: where a file's first line names no columns, it may be a record's text."""
    return name if IDENTIFIER.fullmatch(name) else shown(name)


def read_labels(path: Path, layout: TableLayout, roles: ColumnRoles, setting: str) -> dict[str, tuple[str, ...]]:
    """Read only the ids and labels of a table, as a truth table has them.

    Raises:
        UserError: The file is malformed, or an id stands in it twice.
    """
    rows = read_rows(path, layout, setting)
    require_columns(path, {name for row in rows for name in row.cells}, (roles.id, roles.labels))
    labels: dict[str, tuple[str, ...]] = {}
    for row in rows:
        id_ = id_of(row, roles.id)
        if id_ in labels:
            raise UserError(f"{row.place}, field {roles.id}", f"the id {shown(id_)} stands here again", "keep one")
        labels[id_] = labels_of(row, roles.labels, roles.label_delimiter)
    return labels


def read_label_list(path: Path) -> tuple[str, ...]:
    """Read official labels, UTF-8, one a line; blank lines are skipped.

    Raises:
        UserError: The file can't be read, is empty, or names a label twice.
    """
    first_line: dict[str, int] = {}
    for number, line in enumerate(read_text(path, "utf-8", "contest.labels (or --labels)").split("\n"), start=1):
        label = line.strip()
        if label in first_line:
            earlier = f"the label {shown(label)} stood in line {first_line[label]} already"
            raise UserError(f"{path}, line {number}", earlier, "keep one of them")
        if label:
            first_line[label] = number
    return tuple(first_line)


def _record(row: Row, roles: ColumnRoles, with_labels: bool) -> RawRecord:
    sections = tuple(text_of(row, column) for column in roles.sections)
    if all(text is None or not text.strip() for text in sections):
        raise UserError(
            f"{row.place}, fields {', '.join(roles.sections)}",
            "the record has no text at all",
            "restore its text, leave the record out, or write a placeholder into a field if nothing is known",
        )
    return RawRecord(
        place=row.place,
        id=id_of(row, roles.id),
        sections=sections,
        age=scalar_of(row, roles.age) if roles.age is not None else None,
        sex=scalar_of(row, roles.sex) if roles.sex is not None else None,
        numbers=tuple(number_of(row, column) for column in roles.numbers),
        categories=tuple(scalar_of(row, column) for column in roles.categories),
        labels=labels_of(row, roles.labels, roles.label_delimiter) if with_labels else (),
        order=order_of(row, roles.order) if roles.order is not None else None,
    )
