"""JSON lines and CSV, row by row: however long the table, only the row at hand is held."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from polydx.contest.files import parse_json, text_lines
from polydx.contest.rows import Row, RowOrFault, as_row, check_header
from polydx.errors import UserError

Cells = list[str]


def json_line_rows(path: Path, encoding: str, setting: str) -> Iterator[RowOrFault]:
    """Yield the object of each line; blank lines are skipped.

    Raises:
        UserError: The file can't be read or is empty.
    """
    for number, line in enumerate(text_lines(path, encoding, setting), start=1):
        if isinstance(line, UserError):
            yield line
        elif line.strip():
            try:
                yield as_row(parse_json(line, str(path), first_line=number), f"{path}, line {number}")
            except UserError as fault:
                yield fault


def csv_rows(path: Path, separator: str, encoding: str, one_column: bool, setting: str) -> Iterator[RowOrFault]:
    """Yield the rows below the first line, which names the columns; cells are text.

    An unclosed quote takes what follows, line ends included, into its cell, as far as the csv module's limit for one.

    Args:
        path: The file.
        separator: One character: the rules of the csv module. More: nothing is quoted, every line is a row.
        encoding: Text encoding.
        one_column: Whether a table without any separator is meant.
        setting: The setting that names the file, for errors.

    Raises:
        UserError: The file can't be read or is empty, or the first line names no columns.
    """
    lines = text_lines(path, encoding, setting)
    rows = _quoted_rows(path, lines, separator) if len(separator) == 1 else _plain_rows(lines, separator)
    number, header = next(rows)
    if isinstance(header, UserError):
        raise header
    if len(header) == 1 and not one_column:
        raise UserError(f"{path}, line {number}", f"has no {separator!r}", "correct contest.separator")
    check_header(header, f"{path}, line {number}")
    for number, cells in rows:
        if isinstance(cells, UserError):
            yield cells
        elif len(cells) != len(header):
            yield UserError(
                f"{path}, line {number}",
                f"has {len(cells)} cells under {len(header)} columns",
                "quote cells that hold the separator, or correct contest.separator",
            )
        else:
            yield Row(f"{path}, line {number}", dict(zip(header, cells, strict=True)))


class _Feed:
    """Lines for the csv module, which goes on after an error only if its source does: a generator would have ended.

    Attributes:
        number: Lines handed out.
    """

    def __init__(self, lines: Iterator[str | UserError]) -> None:
        self._lines = lines
        self._pieces: Iterator[str] = iter(())
        self.number = 0

    def __iter__(self) -> "_Feed":
        """Itself."""
        return self

    def __next__(self) -> str:
        """The next line with its end; carriage returns alone end one too.

        Raises:
            UserError: It isn't in the encoding.
        """
        for piece in self._pieces:
            self.number += 1
            return piece
        line = next(self._lines)
        if isinstance(line, UserError):
            self.number += 1
            raise line
        self._pieces = io.StringIO(f"{line}\n", newline="")
        return next(self)


def _quoted_rows(
    path: Path, lines: Iterator[str | UserError], separator: str
) -> Iterator[tuple[int, Cells | UserError]]:
    """Yield (number of the first line, cells) by the rules of the csv module; blank lines are skipped."""
    feed = _Feed(lines)
    reader = csv.reader(feed, delimiter=separator, strict=True)
    while True:
        number = feed.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            place = f"{path}, line {number}"
            yield number, UserError(place, f"broken CSV ({error})", "mend the quotes of this row")
        except UserError as fault:
            yield number, fault
        else:
            if cells:
                yield number, cells


def _plain_rows(lines: Iterator[str | UserError], separator: str) -> Iterator[tuple[int, Cells | UserError]]:
    for number, line in enumerate(lines, start=1):
        if isinstance(line, UserError):
            yield number, line
        elif line.strip():
            yield number, line.removesuffix("\r").split(separator)
