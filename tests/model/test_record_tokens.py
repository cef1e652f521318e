from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from polydx.contest.records import AGE_YEARS, PART_ENDS, SECTION_PREFIX, TEXT
from polydx.model import record_tokens
from polydx.model.reading import Reading
from polydx.model.record_tokens import content_room, encode_records, keep, share_tokens, write_records
from polydx.model.side_features import side_features
from polydx.model.token_file import read_tokens
from polydx.model.tokenizers import new_tokenizer
from polydx.model.tokens import TokenTable, encode
from polydx.names import LongMode
from polydx.text.sections import compose

LETTERS = "abcdefghijklmnopqrstuvwxyz"
FIRST, LAST = 2, 3
TEXTS = [" ".join(LETTERS[:length]) for length in (0, 1, 5, 6, 7, 12, 13, 26)]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return new_tokenizer("words", [" ".join(LETTERS)] * 3, 40)


def rows_of(table: TokenTable) -> list[list[int]]:
    return [table.ids[start:stop].tolist() for start, stop in zip(table.starts, table.starts[1:], strict=False)]


def slow_shares(lengths: list[int], room: int) -> list[int]:
    """Deal a token a round to every part that wants more; the last, too few for all, to the longest, then the first."""
    shares = [0] * len(lengths)
    while room and any(share < length for share, length in zip(shares, lengths, strict=True)):
        wanting = [part for part, length in enumerate(lengths) if shares[part] < length]
        wanting.sort(key=lambda part: (-lengths[part], part))
        for part in wanting[:room]:
            shares[part] += 1
        room -= min(room, len(wanting))
    return shares


LENGTHS = st.lists(st.integers(0, 40), max_size=7)


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(0, 120))
def test_shares_equal_dealing_token_by_token(lengths: list[int], room: int) -> None:
    assert share_tokens(lengths, room) == slow_shares(lengths, room)


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(0, 120))
def test_shares_are_fair_and_use_all_the_room(lengths: list[int], room: int) -> None:
    shares = share_tokens(lengths, room)
    assert sum(shares) == min(room, sum(lengths))
    cut = [share for share, length in zip(shares, lengths, strict=True) if share < length]
    assert max(shares, default=0) - min(cut, default=max(shares, default=0)) <= 1, "nobody has more than one who is cut"
    for share, length in zip(shares, lengths, strict=True):
        assert 0 <= share <= length
        assert share == length or share >= room // len(lengths), "no neighbour takes a part's own share"


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(0, 80), st.integers(0, 20))
def test_more_room_takes_nothing_from_anyone(lengths: list[int], room: int, more: int) -> None:
    before, after = share_tokens(lengths, room), share_tokens(lengths, room + more)
    assert all(old <= new for old, new in zip(before, after, strict=True))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(3, 30))
def test_section_shares_keep_the_start_of_every_section(sizes: list[int], max_tokens: int) -> None:
    parts = np.repeat(np.arange(len(sizes)), sizes)
    kept = keep(len(parts), parts, Reading("section_shares", max_tokens)).tolist()
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).tolist()
    shares = slow_shares([size for size in sizes if size], max_tokens - 2)
    expected = [start for start, size in zip(starts, sizes, strict=True) if size]
    assert kept == [start + offset for start, share in zip(expected, shares, strict=True) for offset in range(share)]


def test_head_and_tail_by_hand_and_at_their_ends(tokenizer: PreTrainedTokenizerFast) -> None:
    reading = Reading("head_tail", 7, head_share=0.4)
    ids = [rows[1:-1] for rows in rows_of(encode(tokenizer, TEXTS, 99))]
    for row, whole in zip(rows_of(encode_records(tokenizer, TEXTS, None, reading)), ids, strict=True):
        assert row == [FIRST, *(whole if len(whole) <= 5 else whole[:2] + whole[-3:]), LAST]
    cut = rows_of(encode(tokenizer, TEXTS, 7))
    assert rows_of(encode_records(tokenizer, TEXTS, None, replace(reading, head_share=1.0))) == cut
    assert rows_of(encode_records(tokenizer, TEXTS, None, Reading("cut", 7))) == cut


@pytest.mark.parametrize("max_tokens", [8, 16, 18, 20, 99])
def test_chunks_are_whole_sequences(tokenizer: PreTrainedTokenizerFast, max_tokens: int) -> None:
    reading = Reading("chunks", max_tokens, chunk_tokens=8)
    wholes = [rows[1:-1] for rows in rows_of(encode(tokenizer, TEXTS, 99))]
    for row, whole in zip(rows_of(encode_records(tokenizer, TEXTS, None, reading)), wholes, strict=True):
        chunks = [row[start : start + 8] for start in range(0, len(row), 8)]
        assert len(row) <= max_tokens
        assert all((chunk[0], chunk[-1]) == (FIRST, LAST) for chunk in chunks)
        content = [token for chunk in chunks for token in chunk[1:-1]]
        assert content == whole[: content_room(reading)]
    assert content_room(reading) == {8: 6, 16: 12, 18: 12, 20: 14, 99: 73}[max_tokens]


def test_a_record_shorter_than_a_chunk_is_one_sequence(tokenizer: PreTrainedTokenizerFast) -> None:
    whole = encode(tokenizer, TEXTS[:5], 99)
    for mode in ("chunks", "two_streams"):
        table = encode_records(tokenizer, TEXTS[:5], None, Reading(mode, 20, chunk_tokens=9))
        assert rows_of(table) == rows_of(whole)


def test_no_section_is_cut_off_by_its_neighbours() -> None:
    """Five Chinese sections of 2,209 characters in 66 tokens: each one's start is kept, heading included."""
    marks = "甲乙丙丁戊"
    sections = [(f"{mark}史", mark * length) for mark, length in zip(marks, (1500, 20, 300, 9, 380), strict=True)]
    text, ends = compose("male", 7.0, sections, "zh")
    assert len(text) == 2233
    tokenizer = new_tokenizer("characters", [text] * 2, 60)
    for mode, seen in (("cut", {"甲"}), ("section_shares", set(marks))):
        table = encode_records(tokenizer, [text], [ends], Reading(mode, 66))  # type: ignore[arg-type]
        tokens = tokenizer.convert_ids_to_tokens(table.ids.tolist())
        assert len(tokens) == 66
        assert set(tokens) & set(marks) == seen
    assert [tokens.count(mark) for mark in marks] == [11, 10, 10, 10, 10], "and 丁 is whole"
    with pytest.raises(ValueError, match="where the sections end"):
        encode_records(tokenizer, [text], None, Reading("section_shares", 66))


def test_written_records_equal_those_in_memory_and_carry_their_numbers(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_tokens, "ENCODE_CHUNK", 3)
    ends = [[len(text) // 2, len(text)] for text in TEXTS]
    words = [text.split() for text in TEXTS]
    sections = {f"{SECTION_PREFIX}{name}": [each[:size] for each in TEXTS] for name, size in (("b", 3), ("a", 9))}
    table = pd.DataFrame({TEXT: TEXTS, PART_ENDS: ends, AGE_YEARS: np.arange(8.0), "other": words, **sections})
    records, file = tmp_path / "records.parquet", tmp_path / "tokens.arrow"
    table.to_parquet(records)
    for mode in get_args(LongMode):
        reading = Reading(mode, 8, chunk_tokens=8, side=("lengths", "age"))
        write_records(file, tokenizer, records, reading, "these", "test")
        tokens, expected = read_tokens(file).table, encode_records(tokenizer, TEXTS, ends, reading)
        np.testing.assert_array_equal(tokens.ids, expected.ids)
        np.testing.assert_array_equal(tokens.starts, expected.starts)
        np.testing.assert_array_equal(tokens.side, side_features(table, reading.side))
        assert tokens.pad_id == expected.pad_id
    write_records(file, tokenizer, records, replace(reading, side=()), "these", "test")
    assert read_tokens(file).table.side is None
