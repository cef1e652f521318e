"""Parquet, batch by batch, and Excel, which is read whole."""

import io
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile

from polydx.contest.files import opening
from polydx.contest.rows import FORMAT_FIX, Row, RowOrFault, check_header
from polydx.errors import UserError

BATCH_ROWS = 1024
"""Rows of a Parquet file held as Python objects at a time."""
BUFFER_BYTES = 1 << 20
"""A column of a row group is read so many bytes at a time: pandas writes a million rows into one group."""
DAMAGED = (
    ArithmeticError,
    AttributeError,
    BadZipFile,
    EOFError,
    LookupError,
    OSError,
    ParseError,
    RuntimeError,
    TypeError,
    ValueError,
    zlib.error,
)
"""What comes of reading a damaged workbook, whether its archive is damaged, its XML or a value in that."""


def parquet_rows(path: Path, leave_out: str | None, setting: str) -> Iterator[RowOrFault]:
    """Yield the rows of a Parquet file; the column `leave_out` isn't even read.

    Raises:
        UserError: The file can't be read, or two of its columns have one name.
    """
    import pyarrow
    import pyarrow.parquet

    place = itertools.count(1)
    with opening(path, setting):
        file = path.open("rb")
    with file:
        try:
            table = pyarrow.parquet.ParquetFile(file, buffer_size=BUFFER_BYTES, pre_buffer=False)
            check_header(table.schema_arrow.names, str(path))
            columns = [name for name in table.schema_arrow.names if name != leave_out]
            for batch in table.iter_batches(BATCH_ROWS, columns=columns, use_threads=False):
                for record in batch.to_pylist():
                    yield Row(f"{path}, record {next(place)}", record)
        except (pyarrow.ArrowException, ArithmeticError, OSError, ValueError) as error:
            raise UserError(str(path), f"is no readable Parquet file ({type(error).__name__})", FORMAT_FIX) from None


def excel_rows(path: Path, setting: str) -> Iterator[RowOrFault]:
    """Yield the rows of a workbook's one sheet below the first, which names the columns; it is read whole.

    Raises:
        UserError: The file can't be read, has several sheets, or its first row names no columns.
    """
    import openpyxl
    from openpyxl.utils.escape import unescape
    from openpyxl.utils.exceptions import InvalidFileException

    with opening(path, setting):
        data = path.read_bytes()
    try:
        workbook = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        names = workbook.sheetnames
        sheet = workbook.worksheets[0]
        # The size that a sheet says it has may be wrong, and what lies outside would be lost.
        sheet.reset_dimensions()
        lines = [
            [unescape(cell) if isinstance(cell, str) else cell for cell in line]
            for line in sheet.iter_rows(values_only=True)
        ]
    except (*DAMAGED, InvalidFileException) as error:
        raise UserError(str(path), f"is no readable Excel workbook ({type(error).__name__})", FORMAT_FIX) from None
    if len(names) > 1:
        raise UserError(str(path), f"has {len(names)} sheets", "keep the one with the records")
    if not lines:
        raise UserError(str(path), "is empty", "put the records back")
    header = _without_trailing_blanks(lines[0])
    check_header(header, f"{path}, row 1")
    for number, line in enumerate(lines[1:], start=2):
        cells = _without_trailing_blanks(line)
        place = f"{path}, row {number}"
        if len(cells) > len(header):
            yield UserError(place, f"has {len(cells)} cells under {len(header)} columns", "name every column in row 1")
        elif cells:
            cells += [None] * (len(header) - len(cells))
            yield Row(place, {str(name): _excel_cell(cell) for name, cell in zip(header, cells, strict=True)})


def _without_trailing_blanks(cells: list[object]) -> list[object]:
    count = max((index for index, cell in enumerate(cells, start=1) if cell is not None), default=0)
    return cells[:count]


def _excel_cell(cell: object) -> object:
    """Return numbers as text, since Excel makes them of ids and ages by itself, and "" for nothing, as CSV has it."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))  # With 16 digits or more it would be 2.02e+16.
    return str(cell) if isinstance(cell, int | float) and not isinstance(cell, bool) else cell
