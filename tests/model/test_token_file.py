import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polydx.errors import UserError
from polydx.model import token_file, tokens
from polydx.model.token_file import Piece, StoredTokens, read_tokens, write_tokens
from polydx.model.tokens import TokenTable

ROWS = [[3, 1, 4], [1], [5, 9, 2, 6], [5, 3]]


def in_memory(rows: list[list[int]] = ROWS) -> TokenTable:
    flat = np.array([token for row in rows for token in row], dtype=np.int32)
    return TokenTable(flat, np.cumsum([0, *map(len, rows)], dtype=np.int64), 7)


def in_pieces(rows: list[list[int]], size: int, features: int) -> Iterator[Piece]:
    """`size` texts at a time; the features of a text are its number and the fractions after it."""
    for start in range(0, len(rows), size):
        some = rows[start : start + size]
        side = np.arange(start, start + len(some), dtype=np.float32)[:, None] + np.arange(features) / 8
        yield Piece(in_memory(some).ids, np.array([len(row) for row in some]), side.astype(np.float32))


def stored(file: Path, rows: list[list[int]] = ROWS, size: int = 3, features: int = 0) -> StoredTokens:
    write_tokens(file, in_pieces(rows, size, features), 7, "these rows")
    return read_tokens(file)


def test_a_stored_table_equals_one_in_memory_again_and_again(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "for it"
    (table, made_of), expected = stored(folder / "tokens.arrow"), in_memory()
    assert [file.name for file in folder.iterdir()] == ["tokens.arrow"]
    assert (table.pad_id, table.side, made_of) == (7, None, "these rows")
    np.testing.assert_array_equal(table.lengths, expected.lengths)
    for rows in ([0, 2], [3, 1, 1], [0, 1, 2, 3]):
        # Pages are given back after each batch; what they held must come back.
        for found, wanted in zip(table.pad(np.array(rows)), expected.pad(np.array(rows)), strict=True):
            assert torch.equal(found, wanted)
    assert table.fingerprint() == expected.fingerprint()


def test_the_tables_arrays_are_the_files_own_bytes(tmp_path: Path) -> None:
    table = stored(tmp_path / "tokens.arrow", features=2).table
    assert table.mapping is not None and table.side is not None
    mapped = np.frombuffer(table.mapping, dtype=np.uint8)
    first, size = mapped.__array_interface__["data"][0], len(table.mapping)
    for array in (table.ids, table.starts, table.side):
        offset = array.__array_interface__["data"][0] - first
        assert 0 <= offset <= size - array.nbytes
        assert mapped[offset : offset + array.nbytes].tobytes() == array.tobytes()
        with pytest.raises(ValueError, match="read-only"):
            array.flat[0] = 1
    assert (table.ids.dtype, table.starts.dtype, table.side.dtype) == (np.int32, np.int64, np.float32)
    np.testing.assert_array_equal(table.side, [[row, row + 0.125] for row in range(len(ROWS))])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=9), max_size=12), st.integers(1, 5), st.integers(0, 3))
def test_pieces_and_blocks_of_any_size_make_the_same_table(
    tmp_path: Path, rows: list[list[int]], size: int, features: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_file, "BLOCK_BYTES", 16)
        table, expected = stored(tmp_path / "tokens.arrow", rows, size, features).table, in_memory(rows)
    np.testing.assert_array_equal(table.ids, expected.ids)
    np.testing.assert_array_equal(table.starts, expected.starts)
    if rows and features:
        assert table.side is not None
        np.testing.assert_array_equal(table.side[:, 0], np.arange(len(rows)))


def test_a_mapped_table_outlives_its_files_replacement(tmp_path: Path) -> None:
    file = tmp_path / "tokens.arrow"
    table = stored(file).table
    stored(file, [[8, 8]] * 9)
    np.testing.assert_array_equal(table.ids, in_memory().ids)


def test_pieces_that_fail_leave_the_file_as_it_was(tmp_path: Path) -> None:
    def failing() -> Iterator[Piece]:
        yield from in_pieces(ROWS, 1, 0)
        raise RuntimeError("no more")

    stored(tmp_path / "tokens.arrow", [[8]])
    with pytest.raises(RuntimeError, match="no more"):
        write_tokens(tmp_path / "tokens.arrow", failing(), 0, "others")
    assert [file.name for file in tmp_path.iterdir()] == ["tokens.arrow"]
    assert read_tokens(tmp_path / "tokens.arrow").made_of == "these rows"


def test_a_file_that_is_cut_short_or_another_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tokens.arrow"
    stored(file)
    whole = file.read_bytes()
    cuts = [whole[:length] for length in range(0, len(whole), 7)]
    offsets = np.array([0, 3, 4, 8, 10]).tobytes()
    falling = np.array([0, 3, 2, 8, 10]).tobytes()
    assert whole.count(offsets) == 1
    damaged = [bytes(len(whole)), whole.replace(offsets, falling), whole.replace(b"made_of", b"made_by"), b"text"]
    for content in [*cuts, whole[:-1], *damaged]:
        file.write_bytes(content)
        with pytest.raises(UserError, match="is no whole file of tokens"):
            read_tokens(file)


def test_the_fingerprint_sees_every_block_start_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "HASHED_TOKENS", 4)
    table = in_memory()
    changed = [table.ids.copy() for _ in table.ids]
    for place, ids in enumerate(changed):
        ids[place] += 1
    side = np.zeros((4, 1), dtype=np.float32)
    others = [replace(table, ids=ids) for ids in changed]
    others += [
        replace(table, starts=np.array([0, 2, 4, 8, 10])),
        replace(table, side=side),
        replace(table, side=side + 1),
    ]
    found = {table.fingerprint(), *(other.fingerprint() for other in others)}
    assert len(found) == len(others) + 1
    assert {len(each) for each in found} == {hashlib.sha256().digest_size * 2}
