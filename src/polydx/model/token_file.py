"""Token ids of all records in one Arrow IPC file, memory-mapped: encoded once, read in place by every job.

One record batch holds a row a text: `ids`, large_list<int32>, and, where numbers enter beside the text, `side`,
fixed_size_list<float32>. Uncompressed and in one batch, its buffers are the very arrays of a `TokenTable`.
"""

import mmap
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from polydx.artifacts import Floats, replacing
from polydx.errors import UserError
from polydx.model.tokens import IntArray, TokenTable

IDS, SIDE = "ids", "side"
PAD_ID, MADE_OF = b"pad_id", b"made_of"
"""Keys of the schema's metadata."""
BLOCK_BYTES = 1 << 20


class Piece(NamedTuple):
    """Some texts that follow each other.

    Attributes:
        ids: `[tokens]`, int32, their ids behind each other.
        lengths: `[texts]`, int64, tokens of each.
        side: `[texts, features]`, float32, numbers beside them; no features where there are none.
    """

    ids: npt.NDArray[np.int32]
    lengths: IntArray
    side: Floats


class StoredTokens(NamedTuple):
    """What a file holds: the tokens, and the fingerprint of what they were made of."""

    table: TokenTable
    made_of: str


def write_tokens(target: Path, pieces: Iterable[Piece], pad_id: int, made_of: str) -> None:
    """Write texts, piece by piece; of their ids no more than a piece or a block lies in memory.

    Args:
        target: The file; made or replaced.
        pieces: The texts in order; all have as many features.
        pad_id: Id that fills a batch's short rows.
        made_of: Fingerprint of what they come from.
    """
    lengths: list[IntArray] = []
    side: list[Floats] = []
    # A batch's header tells its size, so the ids wait in an unnamed file beside the target until it is known.
    with replacing(target) as temporary, tempfile.TemporaryFile(dir=target.parent) as waiting:
        for piece in pieces:
            waiting.write(piece.ids.tobytes())
            lengths.append(piece.lengths)
            side.append(piece.side)
        starts = np.cumsum(np.concatenate([[0], *lengths]), dtype=np.int64)
        # A byte more than the ids take, since an empty file can't be mapped.
        waiting.truncate(waiting.tell() + 1)
        mapping = mmap.mmap(waiting.fileno(), 0, access=mmap.ACCESS_READ)
        with temporary.open("wb") as file:
            _write_batch(_BlockWise(file, mapping), mapping, starts, side, {PAD_ID: str(pad_id), MADE_OF: made_of})


def read_tokens(source: Path) -> StoredTokens:
    """Map what `write_tokens` wrote; the table's arrays are the file's own bytes.

    Raises:
        UserError: The file is cut short, damaged, or none of these.
    """
    with source.open("rb") as file:
        try:
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            with pa.ipc.open_file(pa.py_buffer(mapping)) as reader:
                metadata, batch = reader.schema.metadata, reader.get_batch(0)
            batch.validate(full=True)
            ids = batch.column(IDS)
            values, starts = (array.to_numpy(zero_copy_only=True) for array in (ids.values, ids.offsets))
            side = _matrix(batch.column(SIDE)) if SIDE in batch.schema.names else None
            table = TokenTable(values, starts, int(metadata[PAD_ID]), side, mapping)
            return StoredTokens(table, metadata[MADE_OF].decode())
        # A damaged header raises what its first wrong field leads to.
        except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
            problem = f"is no whole file of tokens ({type(error).__name__})"
            raise UserError(str(source), problem, "remove it: whoever needs it makes it again") from error


class _BlockWise:
    """A file that takes a mapped buffer block by block, unmapping the pages behind each block.

    At once, all of them would count as this process's memory.
    """

    closed = False
    """Asked for by whoever writes to a file-like object; it is closed by whoever opened it."""

    def __init__(self, file: IO[bytes], mapping: mmap.mmap) -> None:
        self.file, self.mapping = file, mapping

    def write(self, data: bytes | memoryview) -> int:
        """Write all of it."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), BLOCK_BYTES):
            self.file.write(view[start : start + BLOCK_BYTES])
            self.mapping.madvise(mmap.MADV_DONTNEED)
        return len(view)


def _write_batch(
    sink: _BlockWise, mapping: mmap.mmap, starts: IntArray, side: list[Floats], metadata: dict[bytes, str]
) -> None:
    values = pa.Array.from_buffers(pa.int32(), int(starts[-1]), [None, pa.py_buffer(mapping)])
    columns = {IDS: pa.LargeListArray.from_arrays(pa.array(starts), values)}
    if side and side[0].shape[1]:
        features = np.concatenate(side)
        columns[SIDE] = pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), features.shape[1])
    schema = pa.schema([(name, column.type) for name, column in columns.items()], metadata)
    # More than 2^31 tokens are more than the format promises to every reader; its own library reads them.
    with pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(allow_64bit=True)) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(list(columns.values()), schema=schema))


def _matrix(column: pa.FixedSizeListArray) -> Floats:
    matrix: Floats = column.values.to_numpy(zero_copy_only=True).reshape(-1, column.type.list_size)
    return matrix
