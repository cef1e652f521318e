"""A row of a table before its columns have roles, and what every format says of one."""

from collections.abc import Sequence
from dataclasses import dataclass

from polydx.contest.files import shown
from polydx.errors import UserError

FORMAT_FIX = "correct contest.format or the file"


@dataclass(frozen=True)
class Row:
    """One row: where it stands, as an error names it, and its cells by column."""

    place: str
    cells: dict[str, object]


RowOrFault = Row | UserError
"""A row, or why it is none, where the rows behind it can be read all the same."""


def as_row(record: object, place: str) -> RowOrFault:
    """Return the row of a JSON value, a fault where it is no object."""
    if not isinstance(record, dict):
        return UserError(place, f"is {shown(record)}, not a record", 'write {"column": value, …}')
    return Row(place, record)


def check_header(header: Sequence[object], place: str) -> None:
    """Refuse a column without a name and two of one name.

    Raises:
        UserError: There is one.
    """
    for name in header:
        if not isinstance(name, str) or not name:
            raise UserError(place, "a column has no name", "name every column")
        if header.count(name) > 1:
            raise UserError(place, f"two columns are named {shown(name)}", "rename one")
