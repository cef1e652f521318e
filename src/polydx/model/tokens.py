"""Token ids of many texts, ragged in one flat array, padded only when a batch is made."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerBase

IntArray = npt.NDArray[np.int64]

ENCODE_CHUNK = 1024
"""Texts handed to the tokenizer at a time: bounds its memory on large data."""


@dataclass(frozen=True)
class TokenTable:
    """Token ids of all texts.

    Attributes:
        ids: `[tokens]`, int32, all texts' ids behind each other, special tokens included.
        starts: `[texts + 1]`, int64, where each text starts in `ids`.
        pad_id: Id that fills a batch's short rows.
    """

    ids: npt.NDArray[np.int32]
    starts: IntArray
    pad_id: int

    @property
    def lengths(self) -> IntArray:
        """`[texts]`, int64, tokens of each text."""
        return np.diff(self.starts)

    def pad(self, rows: IntArray) -> tuple[torch.Tensor, torch.Tensor]:
        """Batch some texts: `(input_ids, attention_mask)`, both `[rows, longest]`, int64."""
        lengths = self.lengths[rows]
        width = int(lengths.max())
        filled = np.arange(width) < lengths[:, None]
        input_ids = np.full((len(rows), width), self.pad_id, dtype=np.int64)
        input_ids[filled] = np.concatenate([self.ids[self.starts[row] : self.starts[row + 1]] for row in rows])
        return torch.from_numpy(input_ids), torch.from_numpy(filled.astype(np.int64))


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_tokens: int) -> TokenTable:
    """Tokenize texts, cutting each at `max_tokens` (special tokens counted)."""
    pieces: list[npt.NDArray[np.int32]] = []
    lengths = [0]
    for start in range(0, len(texts), ENCODE_CHUNK):
        encoded = tokenizer(list(texts[start : start + ENCODE_CHUNK]), truncation=True, max_length=max_tokens)
        for ids in encoded["input_ids"]:
            pieces.append(np.asarray(ids, dtype=np.int32))
            lengths.append(len(ids))
    ids = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int32)
    pad_id = tokenizer.pad_token_id
    if not isinstance(pad_id, int):
        raise TypeError(f"the tokenizer has no padding token: {type(tokenizer).__name__}")
    return TokenTable(ids, np.cumsum(lengths, dtype=np.int64), pad_id)
