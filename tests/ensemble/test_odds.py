import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from polydx.ensemble.odds import logit, probability

ARRAYS = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20)


@given(ARRAYS)
def test_either_precision_gives_the_log_odds_within_the_edges(values):
    wide = np.array(values)
    inside = np.clip(wide, 1e-6, 1 - 1e-6)
    expected = np.log(inside / (1 - inside))
    for given_ in (wide, wide.astype(np.float32), values):
        found = logit(given_)
        assert found.dtype == np.float32 and found.shape == wide.shape
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(probability(logit(wide)), inside, atol=1e-6)


def test_a_single_probability():
    assert logit(0.5) == 0 and probability(0.0) == 0.5
    np.testing.assert_allclose(logit(1.0), 13.815510, rtol=1e-6)
