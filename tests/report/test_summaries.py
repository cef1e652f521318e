import numpy as np
import pytest

from polydx.report.summaries import co_occurrences, label_summaries, labels_per_record, quantiles, value_counts
from polydx.report.suspects import OneSex, disagreeing_duplicates, one_sex_labels, sex_exceptions

TRUTH = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]], dtype=bool)
NAMES = ("a", "b", "c")


def test_quantiles_leave_out_the_unknown() -> None:
    found = quantiles(np.array([3.0, np.nan, 1.0, 2.0]))
    assert found == {"minimum": 1.0, "p05": 1.1, "median": 2.0, "p95": 2.9, "maximum": 3.0, "mean": 2.0}
    assert quantiles(np.array([np.nan])) is None


def test_value_counts_are_ordered_by_count_then_name() -> None:
    assert list(value_counts(["b", None, "a", "b", "a", "c"]).items()) == [("a", 2), ("b", 2), ("c", 1), ("missing", 1)]


def test_labels_are_counted() -> None:
    assert labels_per_record(TRUTH) == {"0": 1, "1": 2, "2": 2}
    ages = np.array([10.0, 20.0, np.nan, 5.0, 6.0])
    first = label_summaries(TRUTH, NAMES, ["male", None, "male", "female", None], ages)[0]
    assert (first["number"], first["name"], first["records"], first["share"]) == (1, "a", 3, 0.6)
    assert first["sexes"] == {"male": 2, "missing": 1}
    assert first["age_years"] == quantiles(np.array([10.0, 20.0]))


def test_lift_by_hand() -> None:
    assert co_occurrences(TRUTH, NAMES, strongest=5, fewest_records=1) == [
        {"labels": ["a", "b"], "records": 2, "lift": pytest.approx((2 / 5) / (3 / 5 * 2 / 5), abs=1e-5)}
    ]
    assert co_occurrences(TRUTH, NAMES, strongest=5, fewest_records=3) == []


def test_duplicates_that_disagree_are_named() -> None:
    groups = np.array([7, 3, 7, 3, 1])
    found = disagreeing_duplicates(["r0", "r1", "r2", "r3", "r4"], groups, TRUTH, NAMES)
    assert found == [{"ids": ["r1", "r3"], "labels": ["a", "b", "c"]}, {"ids": ["r0", "r2"], "labels": ["b"]}]


def test_a_label_of_the_other_sex_is_an_exception() -> None:
    truth = np.ones((60, 2), dtype=bool)
    truth[::2, 1] = False
    sexes: list[str | None] = ["male"] * 58 + [None, "female"]
    restricted = one_sex_labels(sexes, truth, ("a", "b"))
    assert restricted == [OneSex(1, "a", "male")]  # of "b" only 29 of 30 are male
    ids = [str(row) for row in range(60)]
    assert sex_exceptions(ids, sexes, truth, restricted) == [{"id": "59", "sex": "female", "label": "a"}]
