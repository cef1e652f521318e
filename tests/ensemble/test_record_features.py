import numpy as np
import pandas as pd

from polydx.ensemble.record_features import no_features, record_features


def table():
    return pd.DataFrame(
        {
            "age_years": [48.0, np.nan, 7.0],
            "sex": ["male", "female", None],
            "section_history": ["abc", None, "ab"],
            "section_same": ["x", "y", "z"],
            "number_weight": [70.0, np.nan, 20.0],
            "category_ward": ["b", "a", "b"],
        }
    )


def test_features_by_hand():
    found = record_features(table())
    assert found.names == ("age_years", "sex", "characters_history", "number_weight", "category_ward")
    assert found.categorical == (1, 4)
    np.testing.assert_array_equal(
        found.values, np.float32([[48, 1, 3, 70, 1], [np.nan, 0, 0, np.nan, 0], [7, np.nan, 2, 20, 1]])
    )


def test_rows_keep_their_meaning():
    found = record_features(table())
    taken = found.take(np.array([False, True, True]))
    np.testing.assert_array_equal(taken.values, found.values[1:])
    assert (taken.names, taken.categorical) == (found.names, found.categorical)


def test_no_features():
    assert no_features(3).values.shape == (3, 0)
