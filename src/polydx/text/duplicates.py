"""Groups of exact and near-duplicate texts."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from datasketch import MinHash, MinHashLSH

RECALL_AT_SIMILARITY = 0.99
"""Share of the pairs exactly at the similarity asked for that share a band; above it the share is higher."""
DEVIATIONS = 3.0
"""How far below the similarity asked for a signature's estimate of it may lie, in standard deviations of the estimate:
one pair in a thousand that is exactly at the similarity lies below that."""


def duplicate_groups(
    texts: Sequence[str | None], similarity: float, shingle_characters: int, permutations: int
) -> npt.NDArray[np.int64]:
    """Return the duplicate group of every text.

    Texts belong together when the Jaccard similarity of their sets of shingles is at least `similarity`, and so do
    texts linked through others. Candidates come from MinHash with locality-sensitive hashing (Broder 1997; Leskovec,
    Rajaraman and Ullman, Mining of Massive Datasets, chapter 3) whose signatures agree in about enough places; each is
    verified exactly, so a group is never wrong, but a pair just at the threshold may be missed.

    Args:
        texts: The texts; None belongs to no other text.
        similarity: Jaccard similarity, in (0, 1].
        shingle_characters: Characters of a shingle; a shorter text is one shingle.
        permutations: Length of a MinHash signature.

    Returns:
        `[texts]`, int64: the smallest index of the text's group.
    """
    group = list(range(len(texts)))
    first_place: dict[str, int] = {}
    for index, text in enumerate(texts):
        if text is not None:
            group[index] = first_place.setdefault(text, index)
    distinct = list(first_place)
    places = list(first_place.values())

    @lru_cache(maxsize=64)
    def shingles_of(index: int) -> frozenset[str]:
        return _shingles(distinct[index], shingle_characters)

    for left, right in _candidates(distinct, similarity, shingle_characters, permutations):
        roots = _root(group, places[left]), _root(group, places[right])
        if roots[0] != roots[1] and _jaccard(shingles_of(left), shingles_of(right)) >= similarity:
            group[max(roots)] = min(roots)
    return np.array([_root(group, index) for index in range(len(group))], dtype=np.int64)


def _root(group: list[int], index: int) -> int:
    while group[index] != index:
        group[index] = index = group[group[index]]
    return index


def _shingles(text: str, size: int) -> frozenset[str]:
    return frozenset(text[start : start + size] for start in range(max(len(text) - size + 1, 1)))


def _jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)


def _candidates(texts: Sequence[str], similarity: float, size: int, permutations: int) -> Iterator[tuple[int, int]]:
    """Yield pairs of texts that are probably similar, in a fixed order."""
    index = MinHashLSH(num_perm=permutations, params=_bands(similarity, permutations))
    hashed = (_shingle_hashes(text, size) for text in texts)
    signatures = np.empty((len(texts), permutations), dtype=np.uint32)
    # Texts of one template share bands by the thousand; few of them come near the similarity by the whole signature.
    least = similarity - DEVIATIONS * np.sqrt(similarity * (1 - similarity) / permutations)
    for right, signature in enumerate(MinHash.generator(hashed, num_perm=permutations, seed=1, hashfunc=int)):
        signatures[right] = signature.hashvalues
        found = np.array(sorted(index.query(signature)), dtype=np.int64)
        estimated = (signatures[found] == signatures[right]).mean(axis=1)
        for left in found[estimated >= least].tolist():
            yield left, right
        index.insert(right, signature, check_duplication=False)


def _bands(similarity: float, permutations: int) -> tuple[int, int]:
    """Return (bands, rows a band): the longest rows, hence the fewest false candidates, that reach the recall."""
    for rows in range(permutations // 2, 1, -1):
        bands = permutations // rows
        if 1.0 - (1.0 - similarity**rows) ** bands >= RECALL_AT_SIMILARITY:
            return bands, rows
    return permutations, 1


def _shingle_hashes(text: str, size: int) -> list[int]:
    """Return a 32-bit hash for every shingle (a polynomial over its code points, mixed as in MurmurHash3)."""
    points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    count = max(len(points) - size + 1, 1)
    hashes = np.full(count, min(size, len(points)), dtype=np.uint64)
    for offset in range(min(size, len(points))):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + points[offset : offset + count]
    hashes ^= hashes >> np.uint64(33)
    hashes *= np.uint64(0xFF51AFD7ED558CCD)
    result: list[int] = (hashes >> np.uint64(32)).tolist()
    return result
