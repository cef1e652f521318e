"""A column that orders the records: what it may hold, and the numbers that come of it."""

import math
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polydx.contest.cells import order_of
from polydx.contest.record_table import order_numbers
from polydx.contest.rows import Row
from polydx.errors import UserError


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (7, 7),
        (10**400, 10**400),
        (-2.5, -2.5),
        (" 12 ", 12),
        ("1e3", 1000.0),
        ("9007199254740993", 9007199254740993),  # no float64
        ("2021-03-05", datetime(2021, 3, 5)),
        ("2021/3/5", datetime(2021, 3, 5)),
        ("2021年3月5日", datetime(2021, 3, 5)),
        ("2021-03-05T14:30:59", datetime(2021, 3, 5, 14, 30, 59)),
        ("2021.03.05 4:05", datetime(2021, 3, 5, 4, 5)),
        (date(2021, 3, 5), datetime(2021, 3, 5)),
        (datetime(2021, 3, 5, 1, 0, tzinfo=timezone(timedelta(hours=8))), datetime(2021, 3, 4, 17, 0)),
        (datetime(2021, 3, 5, tzinfo=UTC), datetime(2021, 3, 5)),
        (None, None),
        (math.nan, None),
        ("  ", None),
    ],
)
def test_numbers_and_dates(cell, expected):
    assert order_of(Row("f, record 1", {"day": cell}), "day") == expected


@pytest.mark.parametrize("cell", ["soon", "2021-02-30", "2021-13-01", "inf", "nan", math.inf, True, ["2021-03-05"]])
def test_anything_else_is_the_users_fault(cell):
    with pytest.raises(UserError, match=r"f\.json, record 4, field day: .* no date; write a number"):
        order_of(Row("f.json, record 4", {"day": cell}), "day")


@given(st.lists(st.none() | st.integers(0, 5) | st.floats(0, 5)))
def test_numbers_follow_the_order_and_are_all_different(orders):
    numbers = order_numbers(orders, [f"id{row}" for row in range(len(orders))])
    placed = [row for row, order in enumerate(orders) if order is not None]
    assert sorted(numbers[row] for row in placed) == [float(number) for number in range(1, len(placed) + 1)]
    assert all(math.isnan(numbers[row]) == (order is None) for row, order in enumerate(orders))
    for row in placed:
        for other in placed:
            if orders[row] < orders[other]:
                assert numbers[row] < numbers[other]


def test_records_of_one_day_lie_in_no_order_of_the_table():
    ids = [f"id{row}" for row in range(400)]
    numbers = np.array(order_numbers([datetime(2021, 3, 5)] * 400, ids))
    assert abs(np.corrcoef(numbers, np.arange(400))[0, 1]) < 0.1
    backwards = order_numbers([datetime(2021, 3, 5)] * 400, ids[::-1])
    assert numbers.tolist() == backwards[::-1]
