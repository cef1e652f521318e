"""Token ids of records that are longer than what the model reads: which of their tokens it gets.

A model reads at most `max_tokens` tokens, special tokens counted. `cut` keeps the first ones. `head_tail` keeps some
from the start and the others from the end (Sun 2019). `section_shares` gives each section of a record its share, so
that none is cut off by its neighbours. `chunks` and `two_streams` put special tokens around pieces of the record that
fill `chunk_tokens` tokens with them: each such chunk is a sequence of its own to the encoder.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from transformers import PreTrainedTokenizerBase

from polydx.contest.records import PART_ENDS, TEXT, read_batches, section_columns
from polydx.model.reading import Reading
from polydx.model.side_features import side_columns, side_features
from polydx.model.token_file import Piece, write_tokens
from polydx.model.tokens import ENCODE_CHUNK, SPECIAL, Ids, IntArray, TokenTable, encodings, special_id
from polydx.progress import Reporter


def write_records(
    target: Path, tokenizer: PreTrainedTokenizerBase, records: Path, reading: Reading, made_of: str, name: str
) -> None:
    """Make the model's inputs of all rows of `records.parquet` and write them with `write_tokens`.

    Args:
        target: The file.
        tokenizer: As for `token_rows`.
        records: The table; read and encoded piece by piece.
        reading: What is kept of each record.
        made_of: Fingerprint of all of these.
        name: Shown with the progress.
    """
    with Reporter(name, pq.read_metadata(records).num_rows, "records") as reporter:
        pieces = _pieces(tokenizer, records, reading, reporter)
        write_tokens(target, pieces, special_id(tokenizer, "pad"), made_of)


def encode_records(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    part_ends: Sequence[Sequence[int]] | None,
    reading: Reading,
) -> TokenTable:
    """Tokenize records in memory; the arguments are those of `token_rows`."""
    pieces = list(token_rows(tokenizer, texts, part_ends, reading))
    return TokenTable.of_pieces(pieces, special_id(tokenizer, "pad"))


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
    for row, found in enumerate(encodings(tokenizer, texts, with_places=ends is not None)):
        ids = np.asarray(found.ids, dtype=np.int32)
        parts = None
        if ends is not None:
            parts = np.searchsorted(ends[row], [start for start, _ in found.offsets], side="right")
        content = ids[keep(len(ids), parts, reading)]
        bodies = range(0, max(1, len(content)), body)
        yield np.concatenate([piece for start in bodies for piece in (first, content[start : start + body], last)])


def _pieces(tokenizer: PreTrainedTokenizerBase, records: Path, reading: Reading, reporter: Reporter) -> Iterator[Piece]:
    columns = [TEXT]
    if reading.mode == "section_shares":
        columns.append(PART_ENDS)
    columns += side_columns(reading.side, section_columns(records))
    for batch in read_batches(records, columns, ENCODE_CHUNK):
        ends = batch[PART_ENDS].tolist() if PART_ENDS in columns else None
        rows = list(token_rows(tokenizer, batch[TEXT].tolist(), ends, reading))
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        yield Piece(np.concatenate(rows), lengths, side_features(batch, reading.side))
        reporter.step(len(rows))


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
