"""How a record becomes what a model reads; free of torch, so that whoever plans a run can ask at no cost."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from polydx.artifacts import read_json, write_json
from polydx.names import LongMode, SideFeature

CHUNKED: tuple[LongMode, ...] = ("chunks", "two_streams")
"""Modes whose tokens come in chunks with special tokens of their own."""
READING_FILE = "reading.json"


@dataclass(frozen=True)
class Reading:
    """How a record becomes what the model reads.

    Attributes:
        mode: What happens to a record that is too long.
        max_tokens: Most tokens of a record, special tokens included.
        head_share: `head_tail`: share of the tokens that come from the start, in [0, 1].
        chunk_tokens: `chunks` and `two_streams`: tokens of a chunk, special tokens included; at least 3.
        side: Numbers that enter beside the text.
    """

    mode: LongMode
    max_tokens: int
    head_share: float = 0.25
    chunk_tokens: int = 512
    side: tuple[SideFeature, ...] = ()

    @property
    def sequence_tokens(self) -> int:
        """Longest sequence that the encoder itself reads."""
        return min(self.chunk_tokens, self.max_tokens) if self.mode in CHUNKED else self.max_tokens

    @property
    def key(self) -> str:
        """Hexadecimal digits, the same for readings that differ only in what their mode doesn't look at."""
        looked_at = asdict(self)
        if self.mode != "head_tail":
            del looked_at["head_share"]
        if self.mode not in CHUNKED:
            del looked_at["chunk_tokens"]
        return hashlib.sha256(json.dumps(looked_at).encode()).hexdigest()[:12]


def save_reading(reading: Reading, folder: Path) -> None:
    """Write it beside a classifier, which can then be given records as it expects them."""
    write_json(folder / READING_FILE, asdict(reading))


def load_reading(folder: Path) -> Reading:
    """Read what `save_reading` wrote."""
    fields = read_json(folder / READING_FILE)
    return Reading(**fields | {"side": tuple(fields["side"])})
