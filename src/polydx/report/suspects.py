"""Records whose labels look wrong, named by their ids and never by their text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from polydx.contest import records as schema
from polydx.report.summaries import known

Truth = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.int64]
Summary = dict[str, object]

ONE_SEX_SHARE = 0.98
"""A label counts as one sex's where at least this share of its records is."""
ONE_SEX_RECORDS = 20
"""Fewest records of known sex to say so."""


def suspicious(train: pd.DataFrame, truth: Truth, names: Sequence[str]) -> Summary:
    """Collect all that looks wrong.

    Args:
        train: The training records; columns as in `polydx.contest.records`.
        truth: `[rows, labels]`.
        names: The labels' names.
    """
    ids, sexes = train[schema.ID].tolist(), known(train[schema.SEX])
    restricted = one_sex_labels(sexes, truth, names)
    return {
        "disagreeing_duplicates": disagreeing_duplicates(
            ids, train[schema.DUPLICATE_GROUP].to_numpy(dtype=np.int64), truth, names
        ),
        "one_sex_labels": [vars(label) for label in restricted],
        "sex_exceptions": sex_exceptions(ids, sexes, truth, restricted),
    }


def disagreeing_duplicates(ids: Sequence[str], groups: Groups, truth: Truth, names: Sequence[str]) -> list[Summary]:
    """Groups of duplicate records that don't carry the same labels.

    Args:
        ids: Id of each labelled row.
        groups: `[rows]`, equal for duplicates.
        truth: `[rows, labels]`.
        names: The labels' names.

    Returns:
        For each such group its ids and the labels that only some of them carry, in the order of the groups.
    """
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    found: list[Summary] = []
    for members in np.split(order, starts):
        carried = truth[members].sum(axis=0)
        disputed = np.flatnonzero((carried > 0) & (carried < len(members))).tolist()
        if len(disputed):
            found.append(
                {"ids": [ids[row] for row in members.tolist()], "labels": [names[label] for label in disputed]}
            )
    return found


@dataclass(frozen=True)
class OneSex:
    """A label that, but for a few exceptions, one sex has."""

    number: int
    label: str
    sex: str


def one_sex_labels(sexes: Sequence[str | None], truth: Truth, names: Sequence[str]) -> list[OneSex]:
    """Find the labels that, but for a few exceptions, one sex has.

    Args:
        sexes: Sex of each row, None where unknown.
        truth: `[rows, labels]`.
        names: The labels' names; a label's number is its place from 1.
    """
    sex = np.array([value or "" for value in sexes])
    found = []
    for index, rows in enumerate(truth.T):
        values, records = np.unique(sex[rows & (sex != "")], return_counts=True)
        if records.sum() >= ONE_SEX_RECORDS and records.max() >= ONE_SEX_SHARE * records.sum():
            found.append(OneSex(index + 1, names[index], str(values[records.argmax()])))
    return found


def sex_exceptions(
    ids: Sequence[str], sexes: Sequence[str | None], truth: Truth, restricted: Sequence[OneSex]
) -> list[Summary]:
    """Records that carry a label of the other sex: the label or the sex is probably wrong."""
    return [
        {"id": ids[row], "sex": sexes[row], "label": entry.label}
        for entry in restricted
        for row in np.flatnonzero(truth[:, entry.number - 1]).tolist()
        if sexes[row] not in (None, entry.sex)
    ]
