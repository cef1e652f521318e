"""Rows, their answers and their teachers stay together."""

import numpy as np
import pytest

from polydx.distil.transfer import transfer_set
from polydx.model.tokens import TokenTable

TOKENS = TokenTable(np.arange(5, 17, dtype=np.int32), np.array([0, 3, 5, 9, 12]), pad_id=0)
ROWS = np.array([2, 0, 3])
PROBABILITIES = np.array([[0.9, 0.2], [0.4, 0.5], [0.7, 0.01]], dtype=np.float32)
TARGETS = np.array([[1, 0], [0, 1]], dtype=np.float32)


def test_the_transfer_set_keeps_rows_and_answers_together() -> None:
    examples = transfer_set(TOKENS, ROWS, [PROBABILITIES], TARGETS)
    assert examples.lengths.tolist() == [4, 3, 3]
    batch = examples.batch(np.array([2, 0]), np.random.default_rng(0))
    assert batch["input_ids"].tolist() == [[14, 15, 16, 0], [10, 11, 12, 13]]
    assert batch["labelled"].tolist() == [False, True]
    assert batch["targets"].tolist() == [[0, 0], [1, 0]]
    np.testing.assert_allclose(batch["taught"].sigmoid().numpy(), PROBABILITIES[[2, 0]], atol=1e-6)


def test_teachers_of_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="2 rows for 3 rows"):
        transfer_set(TOKENS, ROWS, [PROBABILITIES[:2]], TARGETS)


def test_each_step_draws_one_of_several_teachers_in_proportion() -> None:
    other = 1 - PROBABILITIES
    examples = transfer_set(TOKENS, ROWS, [PROBABILITIES, other], TARGETS, chances=[1.0, 3.0])
    drawn = []
    for step in range(200):
        taught = examples.batch(np.array([1, 2]), np.random.default_rng([0, step]))["taught"].sigmoid().numpy()
        drawn.append(np.allclose(taught, other[1:], atol=1e-6))
        assert drawn[-1] or np.allclose(taught, PROBABILITIES[1:], atol=1e-6)
    assert np.mean(drawn) == pytest.approx(0.75, abs=0.1)
    again = examples.batch(np.array([1, 2]), np.random.default_rng([0, 7]))["taught"].sigmoid().numpy()
    assert np.allclose(again, other[1:], atol=1e-6) == drawn[7]


def test_as_many_chances_as_teachers() -> None:
    with pytest.raises(ValueError, match="2 chances for 1 teachers"):
        transfer_set(TOKENS, ROWS, [PROBABILITIES], TARGETS, chances=[1.0, 1.0])
