"""Choice of pseudo-labels against a slow reference and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from polydx.artifacts import Floats
from polydx.semi.pseudo_labels import Confidence, PseudoLabels, choose

FIXED = Confidence("fixed", positive_above=0.8, negative_below=0.2)
PRIOR = Confidence("prior", positive_above=0.8, negative_below=0.2)


def take(
    rows: list[list[float]],
    confidence: Confidence = FIXED,
    prior: tuple[float, ...] = (0.5, 0.5),
    hard: bool = False,
    max_rows: int = 100,
    without_labels: bool = False,
) -> PseudoLabels:
    probabilities = np.array(rows, dtype=np.float32).reshape(-1, 2)
    shares = np.array(prior, dtype=np.float32)
    return choose(probabilities, confidence, prior=shares, hard=hard, max_rows=max_rows, without_labels=without_labels)


ROWS = [[0.9, 0.1], [0.9, 0.5], [0.05, 0.05], [0.95, 0.85], [0.8, 0.1], [0.9, 0.2], [0.1, 0.99]]


def test_fixed_cutoff_by_hand() -> None:
    chosen = take(ROWS)
    assert chosen.rows.tolist() == [0, 3, 6]
    assert chosen.rows.dtype == np.int64
    np.testing.assert_array_equal(chosen.soft_labels, np.array([ROWS[row] for row in (0, 3, 6)], dtype=np.float32))
    assert chosen.positives.tolist() == [2, 2]


def test_rows_without_labels_are_taken_where_they_are_real() -> None:
    assert take(ROWS, without_labels=True).rows.tolist() == [0, 2, 3, 6]


def test_hard_targets_are_zero_and_one() -> None:
    chosen = take(ROWS, hard=True)
    assert chosen.soft_labels.dtype == np.float32
    assert chosen.soft_labels.tolist() == [[1, 0], [1, 1], [0, 1]]


def test_the_most_confident_stay_and_of_equal_ones_the_first() -> None:
    assert take([[0.85, 0.1], [0.95, 0.05], [0.9, 0.1], [0.9, 0.1]], max_rows=2).rows.tolist() == [1, 2]


def test_prior_cutoff_takes_each_labels_share() -> None:
    rows = [[0.30, 0.1], [0.25, 0.1], [0.1, 0.6], [0.1, 0.7], [0.1, 0.1], [0.1, 0.1], [0.1, 0.1], [0.1, 0.1]]
    assert take(rows, PRIOR, prior=(1 / 8, 2 / 8)).rows.tolist() == [0, 2, 3]
    assert take(rows, PRIOR, prior=(4 / 8, 2 / 8)).rows.tolist() == [0, 1, 2, 3]


def test_a_hard_answer_is_as_sure_as_the_model_is_of_it() -> None:
    """Present at 0.25 under `prior`: three quarters sure as a probability, a quarter as a label that is taught as 1."""
    rows = [[0.25, 0.1], [0.7, 0.1], [0.1, 0.1], [0.1, 0.1]]
    assert take(rows, PRIOR, prior=(0.5, 0.0), max_rows=1).rows.tolist() == [0]
    assert take(rows, PRIOR, prior=(0.5, 0.0), max_rows=1, hard=True).rows.tolist() == [1]


def test_no_row_qualifies() -> None:
    chosen = take([[0.5, 0.5]])
    assert chosen.rows.shape == (0,)
    assert chosen.soft_labels.shape == (0, 2)


@pytest.mark.parametrize("confidence", [FIXED, PRIOR])
@given(
    probabilities=arrays(
        np.float32, st.tuples(st.integers(1, 12), st.just(3)), elements=st.floats(0, 1, width=16), unique=True
    ),
    without_labels=st.booleans(),
    hard=st.booleans(),
    max_rows=st.integers(0, 12),
)
def test_equals_a_slow_reference(
    confidence: Confidence, probabilities: Floats, without_labels: bool, hard: bool, max_rows: int
) -> None:
    prior = np.array([0.25, 0.375, 0.75], dtype=np.float32)
    found = []
    for index, row in enumerate(probabilities):
        states = []
        for label, probability in enumerate(row):
            above = int((probabilities[:, label] > probability).sum())
            present = (
                probability > 0.8
                if confidence is FIXED
                else above < round(float(prior[label]) * len(probabilities)) and probability > 0.2
            )
            states.append("present" if present else "absent" if probability < 0.2 else "unsure")
        if "unsure" not in states and (without_labels or "present" in states):
            answers = [state == "present" if hard else p > 0.5 for state, p in zip(states, row, strict=True)]
            found.append((-min(p if answer else 1 - p for p, answer in zip(row, answers, strict=True)), index))
    expected = sorted(index for _, index in sorted(found)[:max_rows])
    chosen = choose(probabilities, confidence, prior=prior, hard=hard, max_rows=max_rows, without_labels=without_labels)
    assert chosen.rows.tolist() == expected
