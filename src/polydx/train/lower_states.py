"""What frozen layers make of each record, computed once and read back in every epoch: the upper layers' inputs."""

import mmap
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel

from polydx.model.frozen import run_below
from polydx.model.tokens import IntArray, TokenTable
from polydx.progress import Reporter
from polydx.train.batching import batches_by_tokens

MOST_BYTES = 16 << 30
"""States that would take more are computed anew in every step."""
BATCH_TOKENS = 4096
STORED = np.float16
"""Eleven bits of a state, whose entries a layer norm keeps near 1; bf16 would keep eight."""


@dataclass(frozen=True)
class LowerStates:
    """States of some texts after the frozen layers, in a mapped file that is gone with the process.

    Attributes:
        states: `[tokens, width]`, float16.
        starts: `[texts]`, int64, where each text starts in `states`; -1 where it has none.
        lengths: `[texts]`, int64, tokens of each text.
        mapping: The file.
    """

    states: npt.NDArray[np.float16]
    starts: IntArray
    lengths: IntArray
    mapping: mmap.mmap

    def pad(self, rows: IntArray) -> Tensor:
        """Batch some texts: `[rows, longest, width]`, float32, 0 in padding."""
        lengths = self.lengths[rows]
        batch = np.zeros((len(rows), int(lengths.max()), self.states.shape[1]), dtype=np.float32)
        for place, (start, length) in enumerate(zip(self.starts[rows], lengths, strict=True)):
            batch[place, :length] = self.states[start : start + length]
        # The pages just read stay in the system's cache, but no longer count as this process's memory.
        self.mapping.madvise(mmap.MADV_DONTNEED)
        return torch.from_numpy(batch)


@torch.no_grad()
def lower_states(
    encoder: PreTrainedModel,
    layers: int,
    tokens: TokenTable,
    rows: IntArray,
    *,
    name: str,
    device: torch.device,
    bf16: bool,
    folder: Path,
) -> LowerStates | None:
    """Run the frozen part of an encoder over some texts, once.

    Args:
        encoder: From `freeze_lower`; moved to `device`.
        layers: How many of its layers are frozen.
        tokens: All texts' tokens.
        rows: `[n]`, int64, which texts.
        name: Shown with the progress.
        device: Where to run.
        bf16: Whether to run under bf16 autocast.
        folder: Where the file lies; not a file system that lies in memory.

    Returns:
        Their states, or None if they would take more than `MOST_BYTES`.
    """
    width: int = encoder.config.hidden_size
    lengths = tokens.lengths
    if int(lengths[rows].sum()) * width * STORED().nbytes > MOST_BYTES:
        return None
    encoder.to(device)
    starts = np.full(len(lengths), -1, dtype=np.int64)
    written = 0
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file, Reporter(name, len(rows), "texts") as reporter:
        for places in batches_by_tokens(lengths[rows], BATCH_TOKENS):
            input_ids, attention_mask = (tensor.to(device) for tensor in tokens.pad(rows[places]))
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                hidden = run_below(encoder, layers, input_ids, attention_mask)
            real = attention_mask.bool()
            file.write(hidden[real].to(torch.float16).cpu().numpy().tobytes())
            starts[rows[places]] = written + np.cumsum(lengths[rows[places]]) - lengths[rows[places]]
            written += int(real.sum())
            reporter.step(len(places))
        file.flush()
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    states = np.frombuffer(mapping, dtype=STORED).reshape(-1, width)
    return LowerStates(states, starts, lengths, mapping)
