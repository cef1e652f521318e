"""What the stacker may know of a record beside the members' opinions: age, sex, lengths, numbers, categories."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from polydx.artifacts import Floats
from polydx.contest.records import AGE_YEARS, CATEGORY_PREFIX, NUMBER_PREFIX, SECTION_PREFIX, SEX
from polydx.judge.metrics import Mask


@dataclass(frozen=True)
class RecordFeatures:
    """Features of some rows.

    Attributes:
        names: One a column.
        values: `[rows, features]`, float32; NaN where unknown; categories as codes from 0.
        categorical: Columns whose values are codes.
    """

    names: tuple[str, ...]
    values: Floats
    categorical: tuple[int, ...]

    def take(self, rows: Mask) -> "RecordFeatures":
        """The features of some rows: `rows` is `[rows]`, bool."""
        return RecordFeatures(self.names, self.values[rows], self.categorical)


def no_features(rows: int) -> RecordFeatures:
    """Nothing known of these rows."""
    return RecordFeatures((), np.empty((rows, 0), dtype=np.float32), ())


def record_features(table: pd.DataFrame) -> RecordFeatures:
    """Read the features off rows of `records.parquet`.

    Pass all the rows that are to be compared (training and test) at once: a category's code is its place among the
    sorted values of these rows.

    Returns:
        Columns that hold one value throughout are left out.
    """
    columns: dict[str, pd.Series[float] | pd.Series[int]] = {AGE_YEARS: table[AGE_YEARS]}
    categorical = [SEX]
    columns[SEX] = _codes(table[SEX])
    for column in table.columns:
        if column.startswith(SECTION_PREFIX):
            columns[f"characters_{column.removeprefix(SECTION_PREFIX)}"] = table[column].str.len().fillna(0)
        elif column.startswith(NUMBER_PREFIX):
            columns[column] = table[column]
        elif column.startswith(CATEGORY_PREFIX):
            columns[column] = _codes(table[column])
            categorical.append(column)
    kept = [name for name, values in columns.items() if values.nunique(dropna=False) > 1]
    values = np.empty((len(table), len(kept)), dtype=np.float32)
    for index, name in enumerate(kept):
        values[:, index] = columns[name].astype("float64")
    return RecordFeatures(tuple(kept), values, tuple(index for index, name in enumerate(kept) if name in categorical))


def _codes(column: "pd.Series[str]") -> "pd.Series[float]":
    codes, _ = pd.factorize(column, sort=True)
    return pd.Series(codes, index=column.index, dtype="float64").where(codes >= 0)
