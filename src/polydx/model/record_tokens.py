"""Token ids of records that are longer than what the model reads: which of their tokens it gets.

A model reads at most `max_tokens` tokens, special tokens counted. `cut` keeps the first ones. `head_tail` keeps some
from the start and the others from the end (Sun 2019). `section_shares` gives each section of a record its share, so
that none is cut off by its neighbours. `chunks` and `two_streams` put special tokens around pieces of the record that
fill `chunk_tokens` tokens with them: each such chunk is a sequence of its own to the encoder.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from polydx.artifacts import Floats, read_json, write_json
from polydx.contest.records import PART_ENDS, TEXT, read_batches, section_columns
from polydx.model.long_documents import CHUNKED, LongMode
from polydx.model.side_features import SideFeature, side_columns, side_features
from polydx.model.token_spool import TokenSpool
from polydx.model.tokens import ENCODE_CHUNK, IntArray, TokenTable, special_id

Ids = npt.NDArray[np.int32]
READING_FILE = "reading.json"
SPECIAL = 2
"""Special tokens of a sequence: the first and the last."""


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


def save_reading(reading: Reading, folder: Path) -> None:
    """Write it beside a classifier, which can then be given records as it expects them."""
    write_json(folder / READING_FILE, asdict(reading))


def load_reading(folder: Path) -> Reading:
    """Read what `save_reading` wrote."""
    fields = read_json(folder / READING_FILE)
    return Reading(**fields | {"side": tuple(fields["side"])})


def read_rows(tokenizer: PreTrainedTokenizerBase, records: Path, reading: Reading, folder: Path) -> TokenTable:
    """Make the model's inputs of all rows of `records.parquet`: tokens, and numbers beside them if it reads any.

    Texts are read and encoded piece by piece, and the ids wait in an unnamed file in `folder`.
    """
    columns = [TEXT]
    if reading.mode == "section_shares":
        columns.append(PART_ENDS)
    columns += side_columns(reading.side, section_columns(records))
    spool = TokenSpool(folder)
    side: list[Floats] = []
    for batch in read_batches(records, columns, ENCODE_CHUNK):
        ends = batch[PART_ENDS].tolist() if PART_ENDS in columns else None
        for ids in token_rows(tokenizer, batch[TEXT].tolist(), ends, reading):
            spool.add(ids)
        side.append(side_features(batch, reading.side))
    return spool.table(special_id(tokenizer, "pad"), np.concatenate(side) if reading.side else None)


def encode_records(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    part_ends: Sequence[Sequence[int]] | None,
    reading: Reading,
) -> TokenTable:
    """Tokenize records in memory; the arguments are those of `token_rows`."""
    pieces = list(token_rows(tokenizer, texts, part_ends, reading))
    flat = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int32)
    return TokenTable(flat, np.cumsum([0, *map(len, pieces)], dtype=np.int64), special_id(tokenizer, "pad"))


def token_rows(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    part_ends: Sequence[Sequence[int]] | None,
    reading: Reading,
) -> Iterator[Ids]:
    """Tokenize records one by one.

    Args:
        tokenizer: A fast one, with the special tokens of BERT.
        texts: The records'.
        part_ends: For each text the places where its parts (sections, age, sex) end, rising, in characters; needed by
            `section_shares` alone.
        reading: Which tokens are kept.

    Yields:
        `[tokens]`, int32, for each text, special tokens included, in the text's order.

    Raises:
        ValueError: `section_shares` without `part_ends`.
    """
    if reading.mode == "section_shares" and part_ends is None:
        raise ValueError("shares of sections need the places where the sections end")
    first, last = (np.array([special_id(tokenizer, name)], dtype=np.int32) for name in ("cls", "sep"))
    body = reading.sequence_tokens - SPECIAL
    ends = part_ends if reading.mode == "section_shares" else None
    for row, (ids, starts) in enumerate(_tokens(tokenizer, texts, with_starts=ends is not None)):
        parts = None if ends is None else np.searchsorted(ends[row], starts, side="right")
        content = ids[keep(len(ids), parts, reading)]
        bodies = range(0, max(1, len(content)), body)
        yield np.concatenate([piece for start in bodies for piece in (first, content[start : start + body], last)])


def keep(tokens: int, parts: IntArray | None, reading: Reading) -> IntArray:
    """Choose the tokens of one record that the model gets.

    Args:
        tokens: How many there are, special tokens left out.
        parts: `section_shares`: `[tokens]`, the part that each belongs to, not falling.
        reading: How.

    Returns:
        Their places, rising.
    """
    room = content_room(reading)
    places = np.arange(tokens)
    if tokens <= room:
        return places
    if reading.mode == "head_tail":
        head = round(reading.head_share * room)
        return np.concatenate([places[:head], places[tokens - (room - head) :]])
    if reading.mode == "section_shares" and parts is not None:
        _, starts, sizes = np.unique(parts, return_index=True, return_counts=True)
        shares = share_tokens(sizes.tolist(), room)
        return np.concatenate([places[start : start + share] for start, share in zip(starts, shares, strict=True)])
    return places[:room]


def content_room(reading: Reading) -> int:
    """How many tokens of a record fit in beside the special tokens of each of its sequences."""
    sequences, rest = divmod(reading.max_tokens, reading.sequence_tokens)
    return sequences * (reading.sequence_tokens - SPECIAL) + max(0, rest - SPECIAL)


def share_tokens(lengths: Sequence[int], room: int) -> list[int]:
    """Share `room` tokens among parts: the fairest shares, and nothing left unused while a part wants more.

    Every part gets all it has up to a common level, so that a part of at most `room / parts` tokens is never cut and
    what short parts leave goes to the longer ones (max-min fairness). What doesn't divide evenly goes to the longest
    parts, among equals to the first.

    Args:
        lengths: Tokens of each part.
        room: Tokens to give away.

    Returns:
        A share for each part, at most its length; their sum is the smaller of `room` and the sum of the lengths.
    """
    shares = [0] * len(lengths)
    # The shortest first: what it leaves is known before the longer ones take theirs. Of equals, the last goes first,
    # since later takers get the larger half of what doesn't divide evenly.
    by_length = sorted(range(len(lengths)), key=lambda part: (lengths[part], -part))
    for taken, part in enumerate(by_length):
        shares[part] = min(lengths[part], room // (len(lengths) - taken))
        room -= shares[part]
    return shares


def _tokens(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], with_starts: bool
) -> Iterator[tuple[Ids, IntArray]]:
    """Ids of each whole text without special tokens and, if asked for, the character where each token starts."""
    for start in range(0, len(texts), ENCODE_CHUNK):
        encoded = tokenizer(
            list(texts[start : start + ENCODE_CHUNK]),
            add_special_tokens=False,
            return_offsets_mapping=with_starts,
            return_attention_mask=False,
            verbose=False,
        )
        for row, ids in enumerate(encoded["input_ids"]):
            offsets = encoded["offset_mapping"][row] if with_starts else []
            yield np.asarray(ids, dtype=np.int32), np.asarray(offsets, dtype=np.int64).reshape(-1, 2)[:, 0]
