"""Safe writing and reading of everything that lies between stages.

A file is written under a temporary name beside its target and renamed, so whoever looks sees the old file, the new
file or none, never half of one. Tables are Parquet, arrays `.npy`, the rest JSON; nothing is pickled.
"""

import contextlib
import errno
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a write that found no room."""

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`, and rename it to `target` when the block ends well.

    The temporary path may become a file or a folder. When the block raises, it is removed and `target` stays as it was.
    Where `target` is a link to a folder, that folder is replaced.
    """
    if target.is_symlink() and target.is_dir():
        target = target.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(_temporary_name(target.name, str(os.getpid())))
    _remove(temporary)
    _remove_what_killed_writers_left(target)
    try:
        yield temporary
        if temporary.is_dir() and target.is_dir():
            shutil.rmtree(target)
        temporary.replace(target)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        # A failed write names no file by itself.
        raise OSError(error.errno, os.strerror(error.errno), str(target)) from error
    finally:
        _remove(temporary)


def _temporary_name(name: str, writer: str) -> str:
    return f".{name}.{writer}.part"


def _remove_what_killed_writers_left(target: Path) -> None:
    """A folder of gigabytes, at worst, that nobody would look for."""
    for left in target.parent.glob(_temporary_name(glob.escape(target.name), "*")):
        writer = left.name.split(".")[-2]
        if writer.isdecimal() and not _is_running(int(writer)):
            _remove(left)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # Somebody else's.
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def as_umask_allows(file: Path) -> None:
    """Give a file the mode of any new one: safetensors lets nobody but its owner read what it writes."""
    umask = os.umask(0o077)  # Reading it means setting it.
    os.umask(umask)
    file.chmod(0o666 & ~umask)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text."""
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, value: object) -> None:
    """Write indented JSON with keys in the given order; NaN is refused (`ValueError`), since JSON has none."""
    write_text(target, json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def read_json(source: Path) -> Any:
    """Read a JSON file of our own making."""
    return json.loads(source.read_text(encoding="utf-8"))


def write_array(target: Path, array: Array) -> None:
    """Write one array as `.npy`."""
    with replacing(target) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def read_array(source: Path) -> Array:
    """Read one array, memory-mapped and read-only."""
    array: Array = np.load(source, mmap_mode="r", allow_pickle=False)
    return array


def are_probabilities(array: Floats) -> bool:
    """Whether all values are within [0, 1]; NaN is not."""
    # The least and the largest, NaN if there is one: comparing every value would make arrays of the table's size.
    return bool(array.min(initial=0.0) >= 0.0 and array.max(initial=1.0) <= 1.0)


def fingerprint_arrays(*arrays: Array) -> str:
    """Hash of the arrays' shapes, types and bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
