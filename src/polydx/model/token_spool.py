"""Token ids collected in a file and memory-mapped: a job's memory doesn't grow with the records it may draw from."""

import mmap
import tempfile
from array import array
from pathlib import Path

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.model.tokens import TokenTable

BUFFER_BYTES = 1 << 20


class TokenSpool:
    """Takes rows of ids one after another, and gives them back as a table.

    The file has no name: it is gone when the last table on it is, also when the process is killed.

    Args:
        folder: Where the file lies; made if absent. Not a file system that lies in memory.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder, buffering=BUFFER_BYTES)  # noqa: SIM115 - closed in `table`
        self._ends = array("q", [0])

    def add(self, ids: npt.NDArray[np.int32]) -> None:
        """Append a row."""
        self._file.write(ids.tobytes())
        self._ends.append(self._ends[-1] + len(ids))

    def table(self, pad_id: int, side: Floats | None = None) -> TokenTable:
        """The rows so far, for reading; no more can be added."""
        starts = np.array(self._ends, dtype=np.int64)
        with self._file as file:
            file.flush()
            if starts[-1] == 0:
                return TokenTable(np.zeros(0, dtype=np.int32), starts, pad_id, side)
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return TokenTable(np.frombuffer(mapping, dtype=np.int32), starts, pad_id, side, mapping)
