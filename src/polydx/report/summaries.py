"""What the records look like, as plain values for `inspection.json`."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import csr_matrix

from polydx.contest import records as schema

Doubles = npt.NDArray[np.float64]
Truth = npt.NDArray[np.bool_]
Summary = dict[str, object]

QUANTILES = {"minimum": 0.0, "p05": 0.05, "median": 0.5, "p95": 0.95, "maximum": 1.0}
STRONGEST_PAIRS = 30
FEWEST_PAIR_RECORDS = 5


def part_summary(rows: pd.DataFrame) -> Summary:
    """Describe the records of one part: how many, how long, how complete.

    Args:
        rows: Columns as in `polydx.contest.records`.
    """
    sections = {
        name.removeprefix(schema.SECTION_PREFIX): {
            "missing_share": _rounded(rows[name].isna().mean()),
            "characters": quantiles(characters(rows[name])),
        }
        for name in rows.columns
        if name.startswith(schema.SECTION_PREFIX)
    }
    return {
        "records": len(rows),
        "text_characters": quantiles(characters(rows[schema.TEXT])),
        "sections": sections,
        "age_years": quantiles(rows[schema.AGE_YEARS].to_numpy(dtype=np.float64)),
        "age_missing_share": _rounded(rows[schema.AGE_YEARS].isna().mean()),
        "sexes": value_counts(known(rows[schema.SEX])),
        "numbers": {
            name.removeprefix(schema.NUMBER_PREFIX): quantiles(rows[name].to_numpy(dtype=np.float64))
            for name in rows.columns
            if name.startswith(schema.NUMBER_PREFIX)
        },
        "categories": {
            name.removeprefix(schema.CATEGORY_PREFIX): value_counts(known(rows[name]))
            for name in rows.columns
            if name.startswith(schema.CATEGORY_PREFIX)
        },
    }


def duplicate_summary(table: pd.DataFrame, parts: Sequence[str]) -> Summary:
    """Count the groups of duplicates, and those that reach over two parts.

    Args:
        table: All records; columns as in `polydx.contest.records`.
        parts: The parts, in the order that pairs are named in.
    """
    sizes = table[schema.DUPLICATE_GROUP].value_counts()
    groups = {part: set(table.loc[table[schema.PART] == part, schema.DUPLICATE_GROUP]) for part in parts}
    return {
        "groups": int((sizes > 1).sum()),
        "records": int(sizes[sizes > 1].sum()),
        "groups_across": {
            f"{first} and {second}": len(groups[first] & groups[second])
            for index, first in enumerate(parts)
            for second in parts[index + 1 :]
        },
    }


def labels_summary(train: pd.DataFrame, truth: Truth, names: Sequence[str]) -> Summary:
    """Describe the labels: how frequent, how many a record, which together.

    Args:
        train: The training records; columns as in `polydx.contest.records`.
        truth: `[rows, labels]`.
        names: The labels' names.
    """
    ages = train[schema.AGE_YEARS].to_numpy(dtype=np.float64)
    return {
        "count": len(names),
        "mean_per_record": _rounded(truth.sum(axis=1).mean()),
        "per_record": labels_per_record(truth),
        "each": label_summaries(truth, names, known(train[schema.SEX]), ages),
        "co_occurrences": co_occurrences(truth, names, strongest=STRONGEST_PAIRS, fewest_records=FEWEST_PAIR_RECORDS),
    }


def label_summaries(truth: Truth, names: Sequence[str], sexes: Sequence[str | None], ages: Doubles) -> list[Summary]:
    """Count each label, with the sexes and ages it meets.

    Args:
        truth: `[rows, labels]`.
        names: The labels' names; a label's number is its place from 1.
        sexes: Sex of each row, None where unknown.
        ages: `[rows]`, years, NaN where unknown.
    """
    return [
        {
            "number": index + 1,
            "name": name,
            "records": int(rows.sum()),
            "share": _rounded(rows.mean()),
            "sexes": value_counts(sex for sex, carries in zip(sexes, rows, strict=True) if carries),
            "age_years": quantiles(ages[rows]),
        }
        for index, (name, rows) in enumerate(zip(names, truth.T, strict=True))
    ]


def labels_per_record(truth: Truth) -> dict[str, int]:
    """How many records have no label, one, two and so on."""
    sizes, records = np.unique(truth.sum(axis=1), return_counts=True)
    return {str(size): int(count) for size, count in zip(sizes, records, strict=True)}


def co_occurrences(truth: Truth, names: Sequence[str], *, strongest: int, fewest_records: int) -> list[Summary]:
    """The pairs of labels that occur together most beyond chance.

    Args:
        truth: `[rows, labels]`.
        names: The labels' names.
        strongest: How many pairs to return at most, by lift: P(a, b) / (P(a) P(b)).
        fewest_records: Pairs in fewer records are left out: a high lift of two records means nothing.
    """
    # Most records have few of the labels, and integers have no fast dense product.
    held = csr_matrix(truth, dtype=np.int64)
    together = (held.T @ held).toarray()
    records = np.diag(together)
    lift = together * len(truth) / np.maximum(np.outer(records, records), 1)
    pairs = [(a, b) for a, b in combinations(range(len(names)), 2) if together[a, b] >= fewest_records]
    pairs.sort(key=lambda pair: (-lift[pair], pair))
    return [
        {"labels": [names[a], names[b]], "records": int(together[a, b]), "lift": _rounded(lift[a, b])}
        for a, b in pairs[:strongest]
    ]


def quantiles(values: Doubles) -> dict[str, float] | None:
    """Quantiles and mean of the known values; None where there are none."""
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    spread = {name: _rounded(np.quantile(values, share)) for name, share in QUANTILES.items()}
    return {**spread, "mean": _rounded(values.mean())}


def characters(texts: "pd.Series[str]") -> Doubles:
    """Lengths of a text column, NaN where a text is missing."""
    return texts.str.len().to_numpy().astype(np.float64)


def value_counts(values: Iterable[str | None]) -> dict[str, int]:
    """How often each value occurs, the most frequent first; None counts as `missing`."""
    counts = Counter("missing" if value is None else value for value in values)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def known(column: "pd.Series[str]") -> list[str | None]:
    """A text column as a list, None where a value is missing in whatever way pandas says so."""
    return [None if missing else value for value, missing in zip(column, column.isna(), strict=True)]


def _rounded(value: float) -> float:
    return round(float(value), 5)
