"""Duplicate groups against every pair compared."""

import numpy as np
import pytest

from polydx.text import duplicates
from polydx.text.duplicates import duplicate_groups


def slow_groups(texts: list[str | None], similarity: float, size: int) -> list[int]:
    """Compare every pair; merge until nothing changes."""
    shingles = [None if t is None else {t[i : i + size] for i in range(max(1, len(t) - size + 1))} for t in texts]
    groups = list(range(len(texts)))
    for right, ours in enumerate(shingles):
        for left, theirs in enumerate(shingles[:right]):
            if ours is not None and theirs is not None and len(ours & theirs) / len(ours | theirs) >= similarity:
                old, new = max(groups[left], groups[right]), min(groups[left], groups[right])
                groups = [new if group == old else group for group in groups]
    return groups


def mess(alphabet: str, length: int, rows: int, seed: int) -> list[str | None]:
    """Texts of which a third are edited copies of an earlier one."""
    draw = np.random.default_rng(seed)
    texts: list[str | None] = []
    for row in range(rows):
        if row and row % 3 == 0:
            original = texts[int(draw.integers(row))] or ""
            place = int(draw.integers(len(original) + 1))
            texts.append(original[:place] + str(draw.choice(list(alphabet))) + original[place + 1 :])
        else:
            texts.append("".join(draw.choice(list(alphabet), size=int(draw.integers(length // 2, length)))))
    return texts


@pytest.mark.parametrize(
    ("alphabet", "length", "similarity", "size"),
    [
        ("咳嗽发热无痰血压正常", 400, 0.9, 5),
        ("咳嗽发热无痰血压正常", 60, 0.7, 3),
        ("0123456789 ", 150, 0.9, 5),
        ("ab", 12, 0.9, 5),
    ],
)
def test_equals_every_pair_compared(alphabet: str, length: int, similarity: float, size: int) -> None:
    texts = mess(alphabet, length, rows=150, seed=length)
    expected = slow_groups(texts, similarity, size)
    assert len(set(expected)) < len(texts)
    found = duplicate_groups(texts, similarity, size, permutations=64)
    assert found.dtype == np.int64
    assert found.tolist() == expected


def test_exact_copies_short_texts_and_missing_ones() -> None:
    texts = ["咳", "咳", None, "嗽", None, "咳嗽发热", "咳"]
    assert duplicate_groups(texts, 0.9, 5, 16).tolist() == [0, 0, 2, 3, 4, 5, 0]


def test_links_chain_into_one_group() -> None:
    text = "abcdefghijklmnopqrstuvwxyz0123456789" * 3
    drifting = [text + "ABCDEFGHIJKLMNOP"[: 2 * step] for step in range(6)]
    pairs = duplicate_groups([drifting[0], drifting[-1]], 0.92, 3, 64)
    assert pairs.tolist() == [0, 1]
    assert set(duplicate_groups(drifting, 0.92, 3, 64).tolist()) == {0}


def test_no_text_at_all() -> None:
    assert duplicate_groups([], 0.9, 5, 64).tolist() == []
    assert duplicate_groups([None, None], 0.9, 5, 64).tolist() == [0, 1]


def test_similarity_of_one_joins_only_equal_shingles() -> None:
    assert duplicate_groups(["abcdef", "abcdeg", "abcdef"], 1.0, 5, 64).tolist() == [0, 1, 0]


def test_few_pairs_of_one_template_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distinct records that share four fifths of their words would fill the same bands."""
    draw = np.random.default_rng(0)

    def words(count: int) -> str:
        return "".join(draw.choice(list("abcdefghijklmnopqrst"), count))

    template = words(500)
    texts = [template + words(125) for _ in range(100)]
    compared = []
    exact = duplicates._jaccard
    monkeypatch.setattr(duplicates, "_jaccard", lambda *pair: compared.append(pair) or exact(*pair))
    found = duplicate_groups([*texts, texts[7] + "x"], similarity=0.9, shingle_characters=5, permutations=64)
    assert found.tolist() == [*range(100), 7]
    assert len(compared) < 0.05 * 100 * 99 / 2
