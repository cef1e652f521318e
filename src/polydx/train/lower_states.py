"""What frozen layers make of each record: computed once, read back wherever a model with these layers is given it.

The states depend on no label and no fold, so every fold's model, in every epoch, round and prediction, reads the same.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from polydx.artifacts import read_json, replacing, write_json
from polydx.model.frozen import frozen_part, run_below
from polydx.model.tokens import IntArray, TokenTable
from polydx.progress import Reporter
from polydx.train.batching import batches_by_tokens
from polydx.train.checkpoint import fingerprint_of

MOST_BYTES = 32 << 30
"""States that would take more aren't kept: the layers run anew in every step then, still without a backward pass."""
BATCH_TOKENS = 4096
STORED = np.dtype(np.float16)
"""Eleven bits of a state, whose entries a layer norm keeps near 1; bf16 would keep eight."""
STATES, STARTS, REPORT = "states.npy", "starts.npy", "lower_states.json"


@dataclass(frozen=True)
class LowerStates:
    """States of texts after the frozen layers, read from a file batch by batch.

    Attributes:
        file: `[tokens, width]`, float16, `.npy`.
        starts: `[texts]`, int64, where each text starts in it.
        lengths: `[texts]`, int64, tokens of each text.
        made_of: `fingerprint` of what they were computed from; empty where they are older than it.
    """

    file: Path
    starts: IntArray
    lengths: IntArray
    made_of: str

    def pad(self, rows: IntArray) -> Tensor:
        """Batch some texts: `[rows, longest, width]`, float32, 0 in padding."""
        lengths = self.lengths[rows]
        # Mapped anew for each batch: pages of a lasting map would count as this process's memory, all of them in time.
        states: npt.NDArray[np.float16] = np.load(self.file, mmap_mode="r")
        batch = np.zeros((len(rows), int(lengths.max()), states.shape[1]), dtype=np.float32)
        for place, (start, length) in enumerate(zip(self.starts[rows], lengths, strict=True)):
            batch[place, :length] = states[start : start + length]
        return torch.from_numpy(batch)


def fingerprint(encoder: PreTrainedModel, layers: int, tokens: TokenTable) -> str:
    """Changes whenever a token or a frozen weight does; the numbers beside a text don't enter its states."""
    return fingerprint_of(frozen_part(encoder, layers), replace(tokens, side=None).fingerprint())


@torch.no_grad()
def write_lower_states(
    folder: Path,
    encoder: PreTrainedModel,
    layers: int,
    tokens: TokenTable,
    *,
    name: str,
    device: torch.device,
    bf16: bool,
) -> None:
    """Run the frozen part of an encoder over all texts, and write their states, or only that they are too many.

    Args:
        folder: Made or replaced.
        encoder: From `load_encoder`, frozen by `freeze_lower`; moved to `device`.
        layers: How many of its layers are frozen.
        tokens: The texts' tokens.
        name: Shown with the progress.
        device: Where to run.
        bf16: Whether to run under bf16 autocast.
    """
    shape = (int(tokens.starts[-1]), int(encoder.config.hidden_size))
    kept = shape[0] * shape[1] * STORED.itemsize <= MOST_BYTES
    report = {"layers": layers, "tokens": shape[0], "width": shape[1], "kept": kept}
    with replacing(folder) as temporary:
        temporary.mkdir()
        write_json(temporary / REPORT, report | {"made_of": fingerprint(encoder, layers, tokens)})
        if kept:
            nn.Module.to(encoder, device)
            starts = _write(temporary / STATES, encoder, layers, tokens, shape, name, device, bf16)
            np.save(temporary / STARTS, starts)


def read_lower_states(folder: Path, lengths: IntArray) -> LowerStates | None:
    """What `write_lower_states` wrote of texts of these lengths (`[texts]`, tokens); None if they were too many."""
    report = read_json(folder / REPORT)
    if not report["kept"]:
        return None
    return LowerStates(folder / STATES, np.load(folder / STARTS), lengths, report.get("made_of", ""))


def _write(
    target: Path,
    encoder: PreTrainedModel,
    layers: int,
    tokens: TokenTable,
    shape: tuple[int, int],
    name: str,
    device: torch.device,
    bf16: bool,
) -> IntArray:
    """Write the states in order of length, and return where each text starts."""
    lengths = tokens.lengths
    starts = np.zeros(len(lengths), dtype=np.int64)
    written = 0
    header = {"descr": np.lib.format.dtype_to_descr(STORED), "fortran_order": False, "shape": shape}
    with target.open("wb") as file, Reporter(name, len(lengths), "texts") as reporter:
        np.lib.format.write_array_header_1_0(file, header)
        for rows in batches_by_tokens(lengths, BATCH_TOKENS):
            input_ids, attention_mask = (tensor.to(device) for tensor in tokens.pad(rows))
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                hidden = run_below(encoder, layers, input_ids, attention_mask)
            file.write(hidden[attention_mask.bool()].to(torch.float16).cpu().numpy().tobytes())
            starts[rows] = written + np.cumsum(lengths[rows]) - lengths[rows]
            written += int(lengths[rows].sum())
            reporter.step(len(rows))
    return starts
