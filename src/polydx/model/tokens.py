"""Token ids of many texts, ragged in one flat array, padded only when a batch is made."""

import hashlib
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Encoding, Tokenizer
from transformers import PreTrainedTokenizerBase

from polydx.artifacts import Floats, fingerprint_arrays

IntArray = npt.NDArray[np.int64]
Ids = npt.NDArray[np.int32]

ENCODE_CHUNK = 1024
"""Texts handed to the tokenizer at a time: bounds its memory on large data."""
SPECIAL = 2
"""Special tokens of a sequence: the first and the last."""
HASHED_TOKENS = 1 << 20
"""Tokens hashed at a time."""


@dataclass(frozen=True)
class TokenTable:
    """Token ids of all texts.

    Attributes:
        ids: `[tokens]`, int32, all texts' ids behind each other, special tokens included.
        starts: `[texts + 1]`, int64, where each text starts in `ids`.
        pad_id: Id that fills a batch's short rows.
        side: `[texts, features]`, float32, what enters the model beside the text; None where nothing does.
        mapping: The file that `ids` lie in, if it is one.
    """

    ids: Ids
    starts: IntArray
    pad_id: int
    side: Floats | None = None
    mapping: mmap.mmap | None = None

    @classmethod
    def of_pieces(cls, pieces: Sequence[Ids], pad_id: int) -> "TokenTable":
        """Lay the ids of texts, `[tokens]` each, special tokens included, behind each other."""
        ids = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int32)
        return cls(ids, np.cumsum([0, *map(len, pieces)], dtype=np.int64), pad_id)

    @property
    def lengths(self) -> IntArray:
        """`[texts]`, int64, tokens of each text."""
        return np.diff(self.starts)

    def pad(self, rows: IntArray) -> tuple[torch.Tensor, torch.Tensor]:
        """Batch some texts: `(input_ids, attention_mask)`, both `[rows, longest]`, int64."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        width = int(lengths.max())
        filled = np.arange(width) < lengths[:, None]
        input_ids = np.full((len(rows), width), self.pad_id, dtype=np.int64)
        input_ids[filled] = np.concatenate([self.ids[self.starts[row] : self.starts[row + 1]] for row in rows])
        self._release()
        return torch.from_numpy(input_ids), torch.from_numpy(filled.astype(np.int64))

    def side_of(self, rows: IntArray) -> dict[str, torch.Tensor]:
        """The model's argument `side`, `[rows, features]`, if the texts have one."""
        return {} if self.side is None else {"side": torch.from_numpy(self.side[rows])}

    def fingerprint(self) -> str:
        """Changes whenever any token, any start or any number beside a text does."""
        digest = hashlib.sha256(fingerprint_arrays(self.starts, *([] if self.side is None else [self.side])).encode())
        for start in range(0, len(self.ids), HASHED_TOKENS):
            digest.update(fingerprint_arrays(self.ids[start : start + HASHED_TOKENS]).encode())
            self._release()
        return digest.hexdigest()

    def _release(self) -> None:
        """Unmap the pages just read: they stay in the system's cache, but no longer count as this process's memory."""
        if self.mapping is not None:
            self.mapping.madvise(mmap.MADV_DONTNEED)


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_tokens: int) -> TokenTable:
    """Tokenize texts, cutting each at `max_tokens` (special tokens counted)."""
    pad, first, last = (special_id(tokenizer, name) for name in ("pad", "cls", "sep"))
    pieces = [
        np.array([first, *found.ids[: max_tokens - SPECIAL], last], dtype=np.int32)
        for found in encodings(tokenizer, texts)
    ]
    return TokenTable.of_pieces(pieces, pad)


def encodings(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, with_places: bool = False
) -> Iterator[Encoding]:
    """Tokenize whole texts, without special tokens, some at a time.

    Args:
        tokenizer: A fast one. Works with its backend: a call of the tokenizer has the characters' places found whether
            it gives them or not, and takes twice the time.
        texts: What to encode.
        with_places: Whether `offsets` and `word_ids`, the characters and the word of each token, are to be found.

    Yields:
        One encoding for each text, in order.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise TypeError(f"{type(tokenizer).__name__} is no fast tokenizer")
    backend.no_truncation()
    backend.no_padding()
    encode_batch = backend.encode_batch if with_places else backend.encode_batch_fast
    for start in range(0, len(texts), ENCODE_CHUNK):
        yield from encode_batch(list(texts[start : start + ENCODE_CHUNK]), add_special_tokens=False)


def special_id(tokenizer: PreTrainedTokenizerBase, name: Literal["pad", "cls", "sep"]) -> int:
    """Id of a special token that every encoder's tokenizer has."""
    found = getattr(tokenizer, f"{name}_token_id")
    if not isinstance(found, int):
        raise TypeError(f"the tokenizer has no {name} token: {type(tokenizer).__name__}")
    return found
