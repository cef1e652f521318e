"""Which training row is validated in which fold: the table, its reader, and the ways of dealing rows into folds.

A fold job is one (repeat, fold): job = repeat * folds + fold. Rows of one duplicate group always share a fold, since a
near copy of a validation row in the training rows gives its labels away.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from polydx.artifacts import Floats
from polydx.contest.records import ID
from polydx.errors import UserError
from polydx.names import FoldScheme

REPEAT = "repeat"
"""int64, from 0."""
FOLD = "fold"
"""int64, from 0; `NEVER_VALIDATED` for the rows that a hold-out always trains on."""
NEVER_VALIDATED = -1

Mask = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Folds:
    """Folds of the training rows.

    Attributes:
        table: Columns `ID`, `REPEAT`, `FOLD`: all training rows in record order for repeat 0, then for repeat 1, ….
    """

    table: pd.DataFrame

    def _assignment(self) -> Integers:
        repeats = int(self.table[REPEAT].max()) + 1
        return self.table[FOLD].to_numpy(dtype=np.int64).reshape(repeats, -1)

    def fold_of_row(self, repeat: int) -> Integers:
        """Each row's fold in one repeat: `[training rows]`; `NEVER_VALIDATED` for a hold-out's training rows."""
        folds: Integers = self._assignment()[repeat]
        return folds

    @property
    def jobs(self) -> int:
        """Fold jobs over all repeats."""
        assignment = self._assignment()
        return len(assignment) * self.count

    def validation(self, job: int) -> Mask:
        """Rows that this job is scored on: `[training rows]`, bool.

        Raises:
            IndexError: There is no such job.
        """
        if not 0 <= job < self.jobs:
            raise IndexError(f"fold job {job} of {self.jobs}")
        assignment = self._assignment()
        repeat, fold = divmod(job, self.count)
        mask: Mask = assignment[repeat] == fold
        return mask

    def training(self, job: int) -> Mask:
        """Rows that this job may learn from, all that it does not validate: `[training rows]`, bool."""
        return ~self.validation(job)

    @property
    def count(self) -> int:
        """Folds of a repeat."""
        return int(self._assignment().max()) + 1

    def first_repeat(self) -> "Folds":
        """The first repeat alone."""
        return Folds(self.table[self.table[REPEAT] == 0])

    def scored(self) -> Mask:
        """Rows that some job validates: `[training rows]`, bool."""
        mask: Mask = (self._assignment() != NEVER_VALIDATED).any(axis=0)
        return mask

    def out_of_fold(self, arrays: Sequence[Floats]) -> Floats:
        """Put the jobs' validation outputs back into record order, averaged over repeats.

        Args:
            arrays: One `[validation rows, labels]` array a job, in job order.

        Returns:
            `[training rows, labels]`, float32; NaN in rows that no job validates.

        Raises:
            ValueError: An array is missing or its rows are not the job's validation rows.
        """
        if len(arrays) != self.jobs:
            raise ValueError(f"{len(arrays)} arrays for {self.jobs} fold jobs")
        rows = len(self.scored())
        total, count = np.zeros((rows, arrays[0].shape[1]), dtype=np.float32), np.zeros(rows, dtype=np.int64)
        for job, array in enumerate(arrays):
            mask = self.validation(job)
            if len(array) != mask.sum():
                raise ValueError(f"fold job {job} has {mask.sum()} validation rows, its array {len(array)}")
            total[mask] += array
            count[mask] += 1
        total[count == 0] = np.nan
        total /= np.maximum(count, 1, dtype=np.float32)[:, None]
        return total

    def of_other_rows(self, arrays: Sequence[Floats]) -> Floats:
        """What the jobs say of rows that none of them validates, averaged over repeats as `out_of_fold` is.

        Thresholds and whatever else is fitted out of fold is used on these: means of fewer models would be sharper.

        Args:
            arrays: One `[rows, labels]` array a job, in job order.

        Returns:
            `[folds, rows, labels]`, float32.
        """
        repeats = len(arrays) // self.count
        averaged = np.stack(arrays[: self.count])
        for job, array in enumerate(arrays[self.count :]):
            averaged[job % self.count] += array
        averaged /= np.float32(repeats)
        return averaged


def read_folds(path: Path) -> Folds:
    """Read what the split stage wrote."""
    return Folds(pd.read_parquet(path))


def refuse_parted_duplicates(folds: Folds, groups: Integers, place: str) -> None:
    """Refuse folds that part near copies of one record, as a table made for other records or changed by hand may do.

    Args:
        folds: The folds of the training rows.
        groups: `[training rows]`; rows with equal values are near copies.
        place: The folds' file, for the error.

    Raises:
        UserError: A copy of a row that a job validates lies among the rows that it learns from.
    """
    ids = folds.table[ID].to_numpy()
    for repeat in range(int(folds.table[REPEAT].max()) + 1):
        fold_of_row = folds.fold_of_row(repeat)
        order = np.argsort(groups, kind="stable")
        first, second = order[:-1], order[1:]
        parted = (groups[first] == groups[second]) & (fold_of_row[first] != fold_of_row[second])
        if parted.any():
            one, other = ids[first[parted][0]], ids[second[parted][0]]
            raise UserError(
                place,
                f"the records {one} and {other} are near copies in different folds: one gives the other away",
                "deal the folds anew (polydx split)",
            )


def make_folds(
    ids: Sequence[str],
    targets: npt.NDArray[np.float32],
    groups: Integers,
    *,
    scheme: FoldScheme,
    folds: int,
    repeats: int,
    holdout_share: float,
    seed: int,
) -> Folds:
    """Deal training rows into folds.

    Args:
        ids: Record ids.
        targets: `[rows, labels]`, 0 or 1.
        groups: `[rows]`; rows with equal values stay together.
        scheme: `stratified` balances every label over the folds, `repeated` does so `repeats` times, `plain` only
            shuffles, `holdout` sets one stratified share aside as fold 0 of a single job.
        folds: Folds a repeat; unused by `holdout`.
        repeats: Repeats of `repeated`; unused by the others.
        holdout_share: Share of `holdout`.
        seed: Seed of everything drawn.

    Raises:
        UserError: There are fewer groups than folds, a fold would stay empty, or a hold-out would leave nothing to
            validate or to learn from.
    """
    _, members = np.unique(groups, return_inverse=True)
    units = int(members.max()) + 1
    if scheme != "holdout" and units < folds:
        raise UserError(
            "split.folds", f"{folds} folds of {units} groups of duplicate records", "set fewer folds or add records"
        )
    strata = _strata(targets, members, units)
    seeds = np.random.SeedSequence(seed).generate_state(repeats if scheme == "repeated" else 1)
    dealt = []
    for state in seeds.tolist():
        if scheme == "plain":
            fold = np.random.default_rng(state).permutation(units) % folds
        elif scheme == "holdout":
            fold = _holdout(strata, holdout_share, state)
        else:
            fold = _stratified(strata, folds, state)
        if scheme != "holdout" and len(np.setdiff1d(np.arange(folds), fold)):
            raise UserError("split.folds", f"a fold of {units} groups of records stays empty", "set fewer folds")
        dealt.append(fold[members])
    table = {
        ID: list(ids) * len(dealt),
        REPEAT: np.repeat(np.arange(len(dealt)), len(ids)),
        FOLD: np.concatenate(dealt),
    }
    return Folds(pd.DataFrame(table).astype({ID: "str", REPEAT: np.int64, FOLD: np.int64}))


def _strata(targets: npt.NDArray[np.float32], members: Integers, units: int) -> Mask:
    """Union of the labels of each group, and a last column for groups without any: they are spread evenly too."""
    labels = np.zeros((units, targets.shape[1]), dtype=bool)
    np.logical_or.at(labels, members, targets > 0)
    return np.column_stack([labels, ~labels.any(axis=1)])


def _stratified(strata: Mask, folds: int, state: int) -> Integers:
    # It brings scikit-learn, which takes longer to import than most readers of folds need for all their work.
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    fold = np.empty(len(strata), dtype=np.int64)
    splitter = MultilabelStratifiedKFold(n_splits=folds, shuffle=True, random_state=state)
    for number, (_, validation) in enumerate(splitter.split(strata, strata)):
        fold[validation] = number
    return fold


def _holdout(strata: Mask, share: float, state: int) -> Integers:
    from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

    units, validation = len(strata), np.arange(len(strata))
    # The splitter rounds up, and raises an error of its own where that leaves nothing to learn from.
    if math.ceil(share * units) < units:
        splitter = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=share, random_state=state)
        _, validation = next(splitter.split(strata, strata))
    if len(validation) in (0, units):
        use = "learn from" if len(validation) else "validate"
        problem = f"{share} of {units} groups of records leaves nothing to {use}"
        raise UserError("split.holdout_share", problem, "choose a share nearer to the middle, or add records")
    fold = np.full(units, NEVER_VALIDATED, dtype=np.int64)
    fold[validation] = 0
    return fold
