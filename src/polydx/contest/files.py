"""Opening the user's files, with errors that say what to do."""

import codecs
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from polydx.errors import UserError

LONGEST_SHOWN = 24
"""Characters of a value that an error shows; a longer one may be a record's text."""


def shown(value: object) -> str:
    """Return a value for an error: short ones as they are, others by kind only, since records are private."""
    if isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= LONGEST_SHOWN):
        return repr(value)
    if value is None:
        return "null"
    kinds = {"str": "a long text", "list": "a list", "dict": "an object", "float": "a number"}
    kind = type(value).__name__
    return kinds.get(kind, f"a {kind}")


@contextmanager
def opening(path: Path, setting: str) -> Iterator[None]:
    """Turn what the operating system says of `path` into a `UserError` naming the setting that asked for it."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(str(path), "there is no such file", f"put it there or correct {setting}") from None
    except IsADirectoryError:
        raise UserError(str(path), "is a folder, not a file", f"name a file in {setting}") from None
    except PermissionError:
        raise UserError(str(path), "may not be read", "give yourself the right to read it (chmod)") from None
    except NotADirectoryError:
        raise UserError(str(path), "lies in something that is no folder", f"correct {setting}") from None
    except OSError as error:
        raise UserError(
            str(path), f"can't be read ({error.strerror or type(error).__name__})", "look to the disk"
        ) from error


def read_text(path: Path, encoding: str, setting: str) -> str:
    """Return a whole text file without its byte order mark.

    Args:
        path: The file.
        encoding: Any of Python's names.
        setting: The setting that names the file, for errors.

    Raises:
        UserError: It can't be read, is empty, or isn't in that encoding.
    """
    _check_encoding(encoding)
    with opening(path, setting):
        data = path.read_bytes()
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _undecodable(path, data.count(b"\n", 0, error.start) + 1, error, encoding) from None
    if not text.strip():
        raise _empty(path)
    return text


def text_lines(path: Path, encoding: str, setting: str) -> Iterator[str | UserError]:
    """Yield a text file's lines without the line feeds and the byte order mark.

    In place of a line that isn't in the encoding stands its fault; UTF-16 and UTF-32 lose step there, and end with it.

    Args:
        path: The file.
        encoding: Any of Python's names.
        setting: The setting that names the file, for errors.

    Raises:
        UserError: The file can't be read, or holds nothing but white space.
    """
    wide = _check_encoding(encoding).startswith(("utf-16", "utf-32"))
    blank = True
    with opening(path, setting):
        file = path.open("rb")
    with file:
        lines = _wide_lines(path, file, encoding) if wide else _lines(path, file, encoding)
        for line in lines:
            blank = blank and isinstance(line, str) and not line.strip()
            yield line
    if blank:
        raise _empty(path)


def _lines(path: Path, file: BinaryIO, encoding: str) -> Iterator[str | UserError]:
    for number, data in enumerate(file, start=1):
        try:
            line = data.decode(encoding).removesuffix("\n")
        except UnicodeDecodeError as error:
            yield _undecodable(path, number, error, encoding)
        else:
            yield line.removeprefix("\ufeff") if number == 1 else line


def _wide_lines(path: Path, file: BinaryIO, encoding: str) -> Iterator[str | UserError]:
    """Lines of an encoding in which a line feed's byte may be part of another character."""
    number = 0
    try:
        for number, line in enumerate(io.TextIOWrapper(file, encoding, newline="\n"), start=1):
            yield line.removesuffix("\n").removeprefix("\ufeff" if number == 1 else "")
    except UnicodeDecodeError as error:
        yield _undecodable(path, number + 1, error, encoding)
    except UnicodeError:
        # What Python says of UTF-16 without its mark, on the first line.
        problem = f"isn't {encoding}: it has no byte order mark"
        yield UserError(f"{path}, line 1", problem, f"write {encoding}-le or {encoding}-be in contest.encoding")


def _check_encoding(encoding: str) -> str:
    """Return Python's own name of an encoding."""
    try:
        "".encode(encoding)  # refuses codecs that are known but of no text, such as hex
        return codecs.lookup(encoding).name
    except (LookupError, UnicodeError):
        raise UserError(
            "contest.encoding", f"{encoding!r} is no text encoding", "write one Python knows, such as utf-8 or gb18030"
        ) from None


def _undecodable(path: Path, line: int, error: UnicodeDecodeError, encoding: str) -> UserError:
    return UserError(
        f"{path}, line {line}",
        f"byte 0x{error.object[error.start]:02x} isn't {encoding}",
        "save it as UTF-8; for tables of records, name their encoding in contest.encoding (gb18030 is common)",
    )


def _empty(path: Path) -> UserError:
    return UserError(str(path), "is empty", "put the missing content back")


def parse_json(text: str, place: str, first_line: int | None = None) -> object:
    """Return the value of a JSON text; NaN becomes None, and a key given twice in one object is refused.

    Args:
        text: The text.
        place: The file, for errors.
        first_line: Line of the file that `text` is, when it is only one line; None when it is the whole file.

    Raises:
        UserError: It isn't JSON.
    """
    fix = "mend the JSON there"
    try:
        return json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_constant)
    except json.JSONDecodeError as error:
        line = error.lineno if first_line is None else first_line
        raise UserError(f"{place}, line {line}, column {error.colno}", f"broken JSON ({error.msg})", fix) from None
    except (ValueError, RecursionError) as error:
        problem = "too deeply nested" if isinstance(error, RecursionError) else str(error)
        raise UserError(place if first_line is None else f"{place}, line {first_line}", problem, fix) from None


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {shown(twice)} stands twice in one object")
    return result


def _constant(name: str) -> None:
    if name != "NaN":
        raise ValueError(f"{name} is no JSON value")
