"""Column names of `records.parquet` and the helpers that every later stage reads it with.

One row a record, in the order train, test, unlabelled and, within each, of the raw tables. Every array of probabilities
follows this order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq

from polydx.artifacts import read_json

ID = "id"
"""str, unique over all parts."""
PART = "part"
"""str: `train`, `test` or `unlabelled`."""
ROW = "row"
"""int64, 0-based place in the raw table."""
RECORD_NUMBER = "record_number"
"""float64: the digits at the end of the id as a number, or the record's place, from 1, by the column whose role is
`order`; NaN where there is neither."""
AGE_YEARS = "age_years"
"""float64, years; NaN where unknown."""
SEX = "sex"
"""str or null: `male`, `female`."""
LABELS = "labels"
"""list of str: official labels in official order; empty for test and unlabelled rows."""
DUPLICATE_GROUP = "duplicate_group"
"""int64: equal for exact and near duplicates, over all parts."""
SECTION_PREFIX = "section_"
"""`section_<column>`: cleaned text, str or null, one column for each section in reading order."""
NUMBER_PREFIX = "number_"
"""`number_<column>`: float64."""
CATEGORY_PREFIX = "category_"
"""`category_<column>`: str or null."""
TEXT = "text"
"""str: what models read: sex, age and all sections with their headings (`polydx.text.sections.compose`)."""
PART_ENDS = "part_ends"
"""list of int32: where each part of `TEXT` (sex, age, sections) ends, in characters, rising."""

READ_BYTES = 1 << 16
"""Bytes of a column read at a time; without a limit a column is read whole."""

TRAIN, TEST, UNLABELLED = "train", "test", "unlabelled"


@dataclass(frozen=True)
class Records:
    """All cleaned records and the label order."""

    table: pd.DataFrame
    label_names: tuple[str, ...]

    def part(self, name: str) -> pd.DataFrame:
        """Rows of one part (`TRAIN`, `TEST`, `UNLABELLED`), index from 0."""
        return self.table[self.table[PART] == name].reset_index(drop=True)

    def targets(self) -> npt.NDArray[np.float32]:
        """`[training rows, labels]`, float32, 0 or 1."""
        column = {name: index for index, name in enumerate(self.label_names)}
        rows = self.part(TRAIN)[LABELS]
        targets = np.zeros((len(rows), len(self.label_names)), dtype=np.float32)
        for index, names in enumerate(rows):
            targets[index, [column[name] for name in names]] = 1.0
        return targets


def read_records(records: Path, labels: Path, columns: Sequence[str] | None = None) -> Records:
    """Read what the clean stage wrote; of its columns some, if they are named."""
    return Records(
        pd.read_parquet(records, columns=None if columns is None else list(columns)), tuple(read_json(labels)["labels"])
    )


def section_columns(records: Path) -> list[str]:
    """Names of the sections' columns, in reading order."""
    return [name for name in pq.read_schema(records).names if name.startswith(SECTION_PREFIX)]


def read_batches(records: Path, columns: Sequence[str], rows: int) -> Iterator[pd.DataFrame]:
    """Read some columns, `rows` rows at a time: the memory it takes doesn't grow with the table."""
    with pq.ParquetFile(records, buffer_size=READ_BYTES) as file:
        for batch in file.iter_batches(batch_size=rows, columns=list(columns)):
            yield batch.to_pandas()
