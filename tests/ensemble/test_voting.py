from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polydx.ensemble.voting import absolute_majority, plurality, vote_shares


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6), st.booleans())
def test_votes_against_plain_counts(seed, members, weighted):
    draw = np.random.default_rng(seed)
    decided = draw.random((members, 12, 3)) < 0.5
    whole = draw.integers(1, 4, members) if weighted else np.ones(members, dtype=int)
    weights = whole / whole.sum() if weighted else None
    shares, majority, sets = (
        vote_shares(decided, weights),
        absolute_majority(decided, weights),
        plurality(decided, weights),
    )
    for row in range(12):
        votes = Counter()
        for member in range(members):
            votes[tuple(decided[member, row])] += int(whole[member])
        most = max(votes.values())
        first = next(tuple(answer) for answer in decided[:, row] if votes[tuple(answer)] == most)
        assert tuple(sets[row]) == first
        for label in range(3):
            count = int(whole[decided[:, row, label]].sum())
            assert shares[row, label] == pytest.approx(count / whole.sum())
            assert majority[row, label] == (2 * count > whole.sum())


def test_majority_mixes_answers_and_plurality_does_not():
    decided = np.array([[[1, 1, 0]], [[1, 0, 1]], [[0, 1, 1]]], dtype=bool)
    assert absolute_majority(decided).tolist() == [[True, True, True]]
    assert plurality(decided).tolist() == [[True, True, False]]


def test_a_heavy_member_outvotes_the_rest_and_a_tie_is_a_no():
    decided = np.array([[[1]], [[0]], [[0]]], dtype=bool)
    assert absolute_majority(decided, np.array([0.6, 0.2, 0.2])).all()
    assert not absolute_majority(decided, np.array([0.5, 0.25, 0.25])).any()
