"""Builds `records.parquet`: its columns, their types, and what can be told from a whole table."""

import math
import re
from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

from polydx.contest import records as schema
from polydx.contest.readers import ColumnRoles

_TRAILING_DIGITS = re.compile(r"[0-9]{1,15}$")
"""Fifteen digits are exact in a float64."""


def record_number(id_: str) -> float:
    """Return the digits at the end of an id as a number, NaN where there are none."""
    digits = _TRAILING_DIGITS.search(id_)
    return float(digits[0]) if digits else math.nan


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
