"""Rows of a table in any format, before its columns have roles."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from polydx.contest.files import opening, parse_json, read_text, shown
from polydx.errors import UserError

Format = Literal["auto", "json", "jsonl", "csv", "parquet", "excel"]
_BY_ENDING: dict[str, Format] = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".xlsx": "excel",
}
_FORMAT_FIX = "correct contest.format or the file"


@dataclass(frozen=True)
class TableLayout:
    """How tables are stored.

    Attributes:
        format: `auto` goes by the file's ending; `.tsv` then means tabs.
        separator: Column separator of `csv`. One character: cells may be quoted with `"`, and hold line ends then. More
            (`|,|`): nothing is quoted, every line is a row.
        encoding: Text encoding of JSON, JSON lines and CSV.
    """

    format: Format
    separator: str
    encoding: str


@dataclass(frozen=True)
class Row:
    """One row: where it stands, as an error names it, and its cells by column."""

    place: str
    cells: dict[str, object]


def read_rows(path: Path, layout: TableLayout, setting: str, leave_out: str | None = None) -> list[Row]:
    """Read a whole table.

    Cells of CSV and Excel are text (an Excel sheet's numbers too); those of the other formats keep their types. JSON is
    a list of objects; Excel a workbook with one sheet. The first line of CSV and Excel names the columns.

    Args:
        path: The file.
        layout: How it is stored.
        setting: The setting that names the file, for errors.
        leave_out: A column dropped here, so that nobody behind this function can see it.

    Raises:
        UserError: The file can't be read as this layout says, or has no row.
    """
    format_ = layout.format
    if format_ == "auto":
        if path.suffix.lower() not in _BY_ENDING:
            endings = " ".join(_BY_ENDING)
            raise UserError(str(path), f"its ending says no format ({endings} do)", "set contest.format")
        format_ = _BY_ENDING[path.suffix.lower()]
    if format_ == "json":
        rows = _json_rows(path, layout, setting)
    elif format_ == "jsonl":
        rows = _json_line_rows(path, layout, setting)
    elif format_ == "csv":
        rows = _csv_rows(path, layout, setting)
    elif format_ == "parquet":
        rows = _parquet_rows(path, setting)
    else:
        rows = _excel_rows(path, setting)
    kept = [Row(row.place, {name: cell for name, cell in row.cells.items() if name != leave_out}) for row in rows]
    if not kept:
        raise UserError(str(path), "holds no record", f"put records into it or correct {setting}")
    return kept


def _json_rows(path: Path, layout: TableLayout, setting: str) -> Iterator[Row]:
    records = parse_json(read_text(path, layout.encoding, setting), str(path))
    if not isinstance(records, list):
        raise UserError(str(path), f"holds {shown(records)}, not a list of records", 'write [{"column": value, …}, …]')
    for number, record in enumerate(records, start=1):
        yield Row(f"{path}, record {number}", _object(record, f"{path}, record {number}"))


def _json_line_rows(path: Path, layout: TableLayout, setting: str) -> Iterator[Row]:
    lines = read_text(path, layout.encoding, setting).split("\n")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            place = f"{path}, line {number}"
            yield Row(place, _object(parse_json(line, str(path), first_line=number), place))


def _object(record: object, place: str) -> dict[str, object]:
    if not isinstance(record, dict):
        raise UserError(place, f"is {shown(record)}, not a record", 'write {"column": value, …}')
    return record


def _csv_rows(path: Path, layout: TableLayout, setting: str) -> Iterator[Row]:
    text = read_text(path, layout.encoding, setting)
    is_tabbed = layout.format == "auto" and path.suffix.lower() == ".tsv"
    separator = "\t" if is_tabbed else layout.separator
    lines = _quoted_lines(path, text, separator) if len(separator) == 1 else _plain_lines(text, separator)
    number, header = next(lines)
    if len(header) == 1 and not is_tabbed:
        raise UserError(f"{path}, line {number}", f"has no {separator!r}", "correct contest.separator")
    _check_header(header, f"{path}, line {number}")
    for number, cells in lines:
        if len(cells) != len(header):
            raise UserError(
                f"{path}, line {number}",
                f"has {len(cells)} cells under {len(header)} columns",
                "quote cells that hold the separator, or correct contest.separator",
            )
        yield Row(f"{path}, line {number}", dict(zip(header, cells, strict=True)))


def _quoted_lines(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) by the rules of the csv module; blank lines are skipped."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    number = 1
    try:
        for cells in reader:
            if cells:
                yield number, cells
            number = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}, line {number}", f"broken CSV ({error})", "mend the quotes of this row") from None


def _plain_lines(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.removesuffix("\r").split(separator)


def _check_header(header: Sequence[object], place: str) -> None:
    for name in header:
        if not isinstance(name, str) or not name:
            raise UserError(place, "a column has no name", "the first line must name every column")
        if header.count(name) > 1:
            raise UserError(place, f"two columns are named {shown(name)}", "rename one")


def _parquet_rows(path: Path, setting: str) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    with opening(path, setting):
        data = path.read_bytes()
    try:
        records = pyarrow.parquet.read_table(pyarrow.BufferReader(data)).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(str(path), f"is no readable Parquet file ({type(error).__name__})", _FORMAT_FIX) from None
    for number, record in enumerate(records, start=1):
        yield Row(f"{path}, record {number}", record)


def _excel_rows(path: Path, setting: str) -> Iterator[Row]:
    from zipfile import BadZipFile

    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    with opening(path, setting):
        data = path.read_bytes()
    try:
        workbook = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        names = workbook.sheetnames
        lines = [list(line) for line in workbook.worksheets[0].iter_rows(values_only=True)]
    except (BadZipFile, InvalidFileException, KeyError, ValueError, OSError, IndexError) as error:
        raise UserError(str(path), f"is no readable Excel workbook ({type(error).__name__})", _FORMAT_FIX) from None
    if len(names) > 1:
        raise UserError(str(path), f"has {len(names)} sheets", "keep the one with the records")
    if not lines:
        raise UserError(str(path), "is empty", "put the records back")
    header = _without_trailing_blanks(lines[0])
    _check_header(header, f"{path}, row 1")
    for number, line in enumerate(lines[1:], start=2):
        cells = _without_trailing_blanks(line)
        place = f"{path}, row {number}"
        if len(cells) > len(header):
            raise UserError(place, f"has {len(cells)} cells under {len(header)} columns", "name every column in row 1")
        if cells:
            cells += [None] * (len(header) - len(cells))
            yield Row(place, {str(name): _excel_cell(cell) for name, cell in zip(header, cells, strict=True)})


def _without_trailing_blanks(cells: list[object]) -> list[object]:
    count = max((index for index, cell in enumerate(cells, start=1) if cell is not None), default=0)
    return cells[:count]


def _excel_cell(cell: object) -> object:
    """Return numbers as text, since Excel makes them of ids and ages by itself, and "" for nothing, as CSV has it."""
    if cell is None:
        return ""
    return str(cell) if isinstance(cell, int | float) and not isinstance(cell, bool) else cell
