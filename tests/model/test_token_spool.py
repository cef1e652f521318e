import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from polydx.model import tokens
from polydx.model.token_spool import TokenSpool
from polydx.model.tokens import TokenTable

ROWS = [[3, 1, 4], [1], [5, 9, 2, 6], [5, 3]]


def in_memory() -> TokenTable:
    flat = np.array([token for row in ROWS for token in row], dtype=np.int32)
    return TokenTable(flat, np.cumsum([0, *map(len, ROWS)]), 0)


def spooled(folder: Path) -> TokenTable:
    spool = TokenSpool(folder)
    for row in ROWS:
        spool.add(np.array(row, dtype=np.int32))
    return spool.table(0)


def test_a_spooled_table_equals_one_in_memory_again_and_again(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "for it"
    table, expected = spooled(folder), in_memory()
    assert table.mapping is not None
    assert list(folder.iterdir()) == [], "nothing is left behind, not even by a killed process"
    np.testing.assert_array_equal(table.lengths, expected.lengths)
    for rows in ([0, 2], [3, 1, 1], [0, 1, 2, 3]):
        # Pages are given back after each batch; what they held must come back.
        for found, wanted in zip(table.pad(np.array(rows)), expected.pad(np.array(rows)), strict=True):
            assert torch.equal(found, wanted)
    assert table.fingerprint() == expected.fingerprint()
    with pytest.raises(ValueError, match="read-only"):
        table.ids[0] = 7


def test_no_rows_and_rows_of_nothing(tmp_path: Path) -> None:
    assert TokenSpool(tmp_path).table(0).lengths.tolist() == []
    spool = TokenSpool(tmp_path)
    spool.add(np.zeros(0, dtype=np.int32))
    assert spool.table(0).lengths.tolist() == [0]


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
