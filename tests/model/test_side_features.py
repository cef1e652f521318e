import numpy as np
import pandas as pd
import pytest
import torch

from polydx.contest.records import AGE_YEARS, SECTION_PREFIX, SEX
from polydx.model.side_features import SideTerm, side_features

TABLE = pd.DataFrame(
    {
        AGE_YEARS: [0.5, np.nan, 48.0],
        SEX: ["male", "female", None],
        f"{SECTION_PREFIX}a": ["ab", None, "abcd"],
        f"{SECTION_PREFIX}b": ["x", "", "xyz"],
    }
)


def test_numbers_by_hand_in_the_order_asked_for() -> None:
    found = side_features(TABLE, ["sex", "age", "lengths"])
    expected = [
        [1.0, np.log(1.5), np.log(3), np.log(2)],
        [-1.0, np.nan, 0.0, 0.0],
        [np.nan, np.log(49), np.log(5), np.log(4)],
    ]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert side_features(TABLE, []).shape == (3, 0)


def test_the_term_equals_a_slow_reference_and_the_unknown_adds_nothing() -> None:
    torch.manual_seed(0)
    training = np.array([[1.0, 5.0, np.nan], [3.0, 5.0, 2.0], [np.nan, 5.0, 4.0]], dtype=np.float32)
    term = SideTerm(3, 2)
    term.standardise_by(training)
    torch.nn.init.normal_(term.weight)
    rows = np.array([[2.5, 6.0, np.nan], [np.nan, np.nan, np.nan]], dtype=np.float32)
    found = term(torch.from_numpy(rows))
    for row in range(2):
        for label in range(2):
            logit = 0.0
            for column in range(3):
                known = training[:, column][~np.isnan(training[:, column])]
                if not np.isnan(rows[row, column]):
                    standard = (rows[row, column] - known.mean()) / (known.std() or 1.0)
                    logit += term.weight[label, column].item() * standard
            assert found[row, label].item() == pytest.approx(logit, abs=1e-6)


def test_the_text_speaks_alone_at_first_and_the_scale_is_kept_with_the_weights() -> None:
    term = SideTerm(2, 3)
    values = np.array([[1.0, 2.0], [3.0, 8.0]], dtype=np.float32)
    term.standardise_by(values)
    assert not term(torch.from_numpy(values)).any()
    other = SideTerm(2, 3)
    other.load_state_dict(term.state_dict())
    assert torch.equal(other.mean, torch.tensor([2.0, 5.0])) and torch.equal(other.deviation, torch.tensor([1.0, 3.0]))


def test_a_column_that_is_nowhere_known_is_harmless() -> None:
    term = SideTerm(1, 1)
    term.standardise_by(np.full((4, 1), np.nan, dtype=np.float32))
    torch.nn.init.ones_(term.weight)
    assert torch.isfinite(term(torch.tensor([[7.0]]))).all()
