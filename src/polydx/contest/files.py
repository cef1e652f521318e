"""Opening the user's files, with errors that say what to do."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    with opening(path, setting):
        data = path.read_bytes()
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}",
            f"byte 0x{data[error.start]:02x} isn't {encoding}",
            "name the file's encoding in contest.encoding (gb18030 is common), or save it as UTF-8",
        ) from None
    except LookupError:
        raise UserError(
            "contest.encoding", f"{encoding!r} is no encoding", "write one Python knows, such as utf-8 or gb18030"
        ) from None
    if not text.strip():
        raise UserError(str(path), "is empty", "put the missing content back")
    return text


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
