"""Builds `records.parquet`: its columns, their types, and what can be told from a whole table."""

import hashlib
import math
import re
from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

from polydx.contest import records as schema
from polydx.contest.cells import Order
from polydx.contest.readers import ColumnRoles

_TRAILING_DIGITS = re.compile(r"[0-9]{1,15}$")
"""Fifteen digits are exact in a float64."""


def record_number(id_: str) -> float:
    """Return the digits at the end of an id as a number, NaN where there are none."""
    digits = _TRAILING_DIGITS.search(id_)
    return float(digits[0]) if digits else math.nan


def order_numbers(orders: Sequence[Order | None], ids: Sequence[str]) -> list[float]:
    """Number records by an order of their own, from 1; NaN where a record has no place in it.

    Neighbours and runs want whole numbers, all different. Records of one place, as of one day, are numbered by a hash
    of their ids: as they stand in the tables, their order might tell of labels, and test rows would come last.

    Args:
        orders: Numbers alone or dates alone, or None.
        ids: The records' ids.
    """
    placed = [
        (order, hashlib.blake2b(id_.encode(), digest_size=8).digest(), row)
        for row, (order, id_) in enumerate(zip(orders, ids, strict=True))
        if order is not None
    ]
    numbers = [math.nan] * len(orders)
    for number, (_, _, row) in enumerate(sorted(placed), start=1):
        numbers[row] = float(number)
    return numbers


def record_columns(
    roles: ColumnRoles,
    sections: Sequence[str | None],
    numbers: Sequence[float],
    categories: Sequence[str | None],
) -> dict[str, object]:
    """Return the values of one record's own columns by the names they have in the table."""
    return {
        **{schema.SECTION_PREFIX + name: text for name, text in zip(roles.sections, sections, strict=True)},
        **{schema.NUMBER_PREFIX + name: number for name, number in zip(roles.numbers, numbers, strict=True)},
        **{schema.CATEGORY_PREFIX + name: value for name, value in zip(roles.categories, categories, strict=True)},
    }


def arrow_schema(roles: ColumnRoles) -> pa.Schema:
    """Return the type of every column, so that a column with nothing in it has its type all the same."""
    return pa.schema(
        {
            schema.ID: pa.string(),
            schema.PART: pa.string(),
            schema.ROW: pa.int64(),
            schema.RECORD_NUMBER: pa.float64(),
            schema.AGE_YEARS: pa.float64(),
            schema.SEX: pa.string(),
            **{schema.SECTION_PREFIX + name: pa.string() for name in roles.sections},
            **{schema.NUMBER_PREFIX + name: pa.float64() for name in roles.numbers},
            **{schema.CATEGORY_PREFIX + name: pa.string() for name in roles.categories},
            schema.TEXT: pa.string(),
            schema.PART_ENDS: pa.list_(pa.int32()),
            schema.LABELS: pa.list_(pa.string()),
            schema.DUPLICATE_GROUP: pa.int64(),
        }
    )


def duplicate_report(table: pd.DataFrame) -> dict[str, int]:
    """Count groups of two records or more, their records, and the groups that reach over several parts."""
    groups = table.groupby(schema.DUPLICATE_GROUP)[schema.PART].agg(["size", "nunique"])
    several = groups[groups["size"] > 1]
    return {
        "groups": len(several),
        "records": int(several["size"].sum()),
        "groups_across_parts": int((several["nunique"] > 1).sum()),
    }
