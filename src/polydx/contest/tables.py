"""Rows of a table in any format, before its columns have roles."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from polydx.contest.binary_tables import excel_rows, parquet_rows
from polydx.contest.files import parse_json, read_text, shown
from polydx.contest.rows import Row, RowOrFault, as_row
from polydx.contest.text_tables import csv_rows, json_line_rows
from polydx.errors import UserError
from polydx.names import TableFormat

_BY_ENDING: dict[str, TableFormat] = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".xlsx": "excel",
}
READ_WHOLE: tuple[TableFormat, ...] = ("json", "excel")
"""Formats that can't be read row by row; the memory they take grows with the table."""


@dataclass(frozen=True)
class TableLayout:
    """How tables are stored.

    Attributes:
        format: `auto` goes by the file's ending; `.tsv` then means tabs.
        separator: Column separator of `csv`. One character: cells may be quoted with `"`, and hold line ends then. More
            (`|,|`): nothing is quoted, every line is a row.
        encoding: Text encoding of JSON, JSON lines and CSV.
    """

    format: TableFormat
    separator: str
    encoding: str


def format_of(path: Path, layout: TableLayout) -> TableFormat:
    """Return the format of a table, by its file's ending where the layout leaves it open.

    Raises:
        UserError: The ending says none.
    """
    if layout.format != "auto":
        return layout.format
    if path.suffix.lower() not in _BY_ENDING:
        problem = f"its ending says no format ({' '.join(_BY_ENDING)} do)"
        raise UserError(str(path), problem, "set contest.format, or --format of polydx predict")
    return _BY_ENDING[path.suffix.lower()]


def read_rows(path: Path, layout: TableLayout, setting: str, leave_out: str | None = None) -> list[Row]:
    """Read a whole table of sound rows; see `stream_rows`.

    Raises:
        UserError: The file can't be read as this layout says, has no row, or a row is malformed.
    """
    rows: list[Row] = []
    for row in stream_rows(path, layout, setting, leave_out):
        if isinstance(row, UserError):
            raise row
        rows.append(row)
    if not rows:
        raise UserError(str(path), "holds no record", f"put records into it or correct {setting}")
    return rows


def stream_rows(path: Path, layout: TableLayout, setting: str, leave_out: str | None = None) -> Iterator[RowOrFault]:
    """Yield a table's rows in order; in place of a malformed one, its fault.

    Cells of CSV and Excel are text (an Excel sheet's numbers too); those of the other formats keep their types. JSON is
    a list of objects; Excel a workbook with one sheet. The first line of CSV and Excel names the columns. Memory stays
    the same however long the table, but for the formats in `READ_WHOLE`.

    Args:
        path: The file.
        layout: How it is stored.
        setting: The setting that names the file, for errors.
        leave_out: A column dropped here, so that nobody behind this function can see it.

    Raises:
        UserError: The file as a whole can't be read as this layout says.
    """
    for row in _rows(path, layout, setting, leave_out):
        if isinstance(row, Row) and leave_out in row.cells:
            yield Row(row.place, {name: cell for name, cell in row.cells.items() if name != leave_out})
        else:
            yield row


def _rows(path: Path, layout: TableLayout, setting: str, leave_out: str | None) -> Iterator[RowOrFault]:
    format_ = format_of(path, layout)
    if format_ == "json":
        return _json_rows(path, layout, setting)
    if format_ == "jsonl":
        return json_line_rows(path, layout.encoding, setting)
    if format_ == "csv":
        tabbed = layout.format == "auto" and path.suffix.lower() == ".tsv"
        return csv_rows(path, "\t" if tabbed else layout.separator, layout.encoding, tabbed, setting)
    if format_ == "parquet":
        return parquet_rows(path, leave_out, setting)
    return excel_rows(path, setting)


def _json_rows(path: Path, layout: TableLayout, setting: str) -> Iterator[RowOrFault]:
    records = parse_json(read_text(path, layout.encoding, setting), str(path))
    if not isinstance(records, list):
        raise UserError(str(path), f"holds {shown(records)}, not a list of records", 'write [{"column": value, …}, …]')
    for number, record in enumerate(records, start=1):
        yield as_row(record, f"{path}, record {number}")
