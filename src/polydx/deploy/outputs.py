"""Where predictions and packages go: a place that can't be written to is the user's fault."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polydx.artifacts import DISK_FULL
from polydx.errors import UserError

FIX = "name another --output"


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn what the operating system says of `target` into a `UserError`; of a full disk the command line speaks."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        problem = f"can't be written ({error.strerror or type(error).__name__})"
        raise UserError(str(target), problem, FIX) from None


def refuse_below_file(target: Path) -> None:
    """See that all that is there of the path to `target` are folders.

    Raises:
        UserError: There is a file among them.
    """
    parent = next(above for above in target.absolute().parents if above.exists())
    if not parent.is_dir():
        raise UserError(str(parent), "is a file, and --output lies in it", FIX)
