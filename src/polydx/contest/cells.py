"""Cells of raw records: what each role of a column takes, and what it says of a cell that holds something else."""

import math
import re
from datetime import UTC, date, datetime

from polydx.contest.files import shown
from polydx.contest.rows import Row
from polydx.errors import UserError

MISSING_LABELS = {"nan", "null"}
"""What tools write for a missing label cell; no label can be named so."""
Order = int | float | datetime
"""A record's place in an order of all records: among numbers, or in time."""
_WHOLE = re.compile(r"[+-]?[0-9]+")
_DATE = re.compile(
    r"([0-9]{4})[-/.年]([0-9]{1,2})[-/.月]([0-9]{1,2})日?(?:[T ]\s*([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?)?"
)


def text_of(row: Row, column: str) -> str | None:
    """Return a text, None where it is missing.

    Raises:
        UserError: It is something else.
    """
    cell = _cell(row, column)
    if cell is None or isinstance(cell, str):
        return cell
    raise UserError(f"{row.place}, field {column}", f"is {shown(cell)}, not a text", "write a text or null")


def scalar_of(row: Row, column: str) -> str | None:
    """Return a text, or a number as a text: ages and categories come as either; None where it is missing.

    Raises:
        UserError: It is something else.
    """
    cell = _cell(row, column)
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return str(cell)
    raise UserError(f"{row.place}, field {column}", f"is {shown(cell)}", "write a text, a number or null")


def id_of(row: Row, column: str) -> str:
    """Return an id, written as a text or a whole number.

    Raises:
        UserError: It is missing, empty, has white space around it, or can't be printed.
    """
    cell = _cell(row, column)
    id_ = str(cell) if isinstance(cell, int) and not isinstance(cell, bool) else cell
    if not isinstance(id_, str) or id_ != id_.strip() or not id_.isprintable() or not id_:
        raise UserError(
            f"{row.place}, field {column}",
            f"the id is {shown(cell)}",
            "write a text or a whole number, not empty, without white space around it",
        )
    return id_


def number_of(row: Row, column: str) -> float:
    """Return a number, written as one or as a text; NaN where it is missing.

    Raises:
        UserError: It is no finite number.
    """
    text = scalar_of(row, column)
    if text is None or not text.strip():
        return math.nan
    try:
        number = float(text)
    except ValueError:
        number = math.inf
    if math.isinf(number):
        raise UserError(f"{row.place}, field {column}", f"{shown(text)} is no finite number", "write a number or null")
    return number


def order_of(row: Row, column: str) -> Order | None:
    """Return a number, or a date with or without a time, either written as a text too; None where it is missing.

    A time with a zone, as Parquet files may hold, is taken in UTC.

    Raises:
        UserError: It is something else.
    """
    cell = _cell(row, column)
    if isinstance(cell, str):
        cell = cell.strip() or None
    found = _order(cell)
    if cell is not None and found is None:
        raise UserError(
            f"{row.place}, field {column}",
            f"{shown(cell)} is no finite number and no date",
            "write a number, a date as 2021-03-05, with a time as 2021-03-05 14:30, or null",
        )
    return found


def labels_of(row: Row, column: str, delimiter: str | None) -> tuple[str, ...]:
    """Return the labels of a row, without the white space around them.

    Args:
        row: The row.
        column: Its column of labels.
        delimiter: What separates labels in a text; None where the column holds a list.

    Raises:
        UserError: They are missing or of another form, or one of them says nothing.
    """
    place = f"{row.place}, field {column}"
    cell = _cell(row, column)
    if cell is None:
        raise UserError(place, "the labels are missing (null or NaN)", "write the labels; an empty list means none")
    if delimiter is None:
        if not isinstance(cell, list):
            fix = "write a list, or set contest.columns.label_delimiter for labels joined in a text"
            raise UserError(place, f"the labels are {shown(cell)}, not a list", fix)
        return tuple(_label(label, place) for label in cell)
    if not isinstance(cell, str):
        fix = "write them joined by it, or set contest.columns.label_delimiter=null for a list"
        raise UserError(place, f"the labels are {shown(cell)}, not a text joined by {delimiter!r}", fix)
    return tuple(_label(label, place) for label in cell.split(delimiter)) if cell.strip() else ()


def _cell(row: Row, column: str) -> object:
    """Return a cell, None where it is missing: absent, null or NaN."""
    cell = row.cells.get(column)
    return None if isinstance(cell, float) and math.isnan(cell) else cell


def _order(cell: object) -> Order | None:
    """A cell as a number or a time, None where it is neither."""
    if isinstance(cell, datetime):
        return cell if cell.tzinfo is None else cell.astimezone(UTC).replace(tzinfo=None)
    if isinstance(cell, date):
        return datetime(cell.year, cell.month, cell.day)
    if isinstance(cell, str) and (parts := _DATE.fullmatch(cell)):
        year, month, day, hour, minute, second = map(int, parts.groups(default="0"))
        try:
            return datetime(year, month, day, hour, minute, second)
        except ValueError:
            return None
    if isinstance(cell, str):
        try:
            cell = int(cell) if _WHOLE.fullmatch(cell) else float(cell)
        except ValueError:
            return None
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else None
    return cell if isinstance(cell, int) and not isinstance(cell, bool) else None


def _label(label: object, place: str) -> str:
    text = str(label) if isinstance(label, int) and not isinstance(label, bool) else label
    text = text.strip() if isinstance(text, str) else ""
    if not text.isprintable() or not text or text.casefold() in MISSING_LABELS:
        raise UserError(place, f"a label is {shown(label)}", "write every label as a text that isn't empty")
    return text
