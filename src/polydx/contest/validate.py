"""Reads a whole raw contest and refuses what is wrong in it, before any work."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from polydx.contest.files import shown
from polydx.contest.label_names import LabelNames, check_aliases, read_aliases, refuse_unofficial
from polydx.contest.readers import ColumnRoles, RawRecord, read_label_list, read_table
from polydx.contest.tables import TableLayout
from polydx.errors import UserError
from polydx.names import UnofficialLabels


@dataclass(frozen=True)
class ContestSource:
    """Where a raw contest lies and how to read it.

    Attributes:
        folder: The folder that the file names are relative to.
        train: Tables with labels.
        test: Table to predict.
        unlabelled: Table of further records, or None.
        labels: Text file with the official labels, or None for those of the training tables, sorted.
        aliases: JSON file of other spellings, or None.
        layout: How the tables are stored.
        roles: Their columns.
    """

    folder: Path
    train: tuple[str, ...]
    test: str
    unlabelled: str | None
    labels: str | None
    aliases: str | None
    layout: TableLayout
    roles: ColumnRoles


@dataclass(frozen=True)
class RawContest:
    """All raw records, and what their labels may be called."""

    train: list[RawRecord]
    test: list[RawRecord]
    unlabelled: list[RawRecord]
    names: LabelNames


@dataclass(frozen=True)
class ContestSummary:
    """What a raw contest holds: records of each part, labels, and the records and labels that cleaning will meet.

    Attributes:
        train: Training records.
        test: Test records.
        unlabelled: Unlabelled records.
        labels: Official labels.
        labels_without_records: Official labels that no training record has.
        train_without_labels: Training records without an official label.
        labels_a_record: Official labels of a training record, on average.
        most_labels: Most of any.
        unofficial: Training records by label outside the official list.
    """

    train: int
    test: int
    unlabelled: int
    labels: int
    labels_without_records: tuple[str, ...]
    train_without_labels: int
    labels_a_record: float
    most_labels: int
    unofficial: Mapping[str, int]


def read_contest(source: ContestSource, unofficial: UnofficialLabels) -> RawContest:
    """Read and validate every table.

    Args:
        source: The raw contest.
        unofficial: Whether a training label outside the official list is an error.

    Raises:
        UserError: Anything in it is malformed; the error names the file, the line and the field.
    """
    if not source.folder.is_dir():
        problem = "is no folder" if source.folder.exists() else "there is no such folder"
        raise UserError(str(source.folder), problem, "correct contest.folder")
    train = [
        record for name in source.train for record in _table(source, name, with_labels=True, setting="contest.train")
    ]
    test = _table(source, source.test, with_labels=False, setting="contest.test")
    unlabelled = (
        _table(source, source.unlabelled, with_labels=False, setting="contest.unlabelled") if source.unlabelled else []
    )
    _refuse_repeated_ids([*train, *test, *unlabelled], source.roles.id)
    if source.roles.order is not None:
        _refuse_mixed_orders([*train, *test, *unlabelled], source.roles.order)
    names = _label_names(source, train)
    if unofficial == "refuse":
        refuse_unofficial(train, names, source.roles.labels)
    if not any(names.resolve(record.labels).labels for record in train):
        raise UserError(
            f"{source.folder}, field {source.roles.labels}",
            "no training record has an official label",
            "correct contest.labels, contest.aliases or contest.columns",
        )
    return RawContest(train, test, unlabelled, names)


def summarise(contest: RawContest) -> ContestSummary:
    """Say what a raw contest holds."""
    resolved = [contest.names.resolve(record.labels) for record in contest.train]
    present = Counter(label for record in resolved for label in record.labels)
    return ContestSummary(
        train=len(contest.train),
        test=len(contest.test),
        unlabelled=len(contest.unlabelled),
        labels=len(contest.names.official),
        labels_without_records=tuple(label for label in contest.names.official if label not in present),
        train_without_labels=sum(not record.labels for record in resolved),
        labels_a_record=round(sum(present.values()) / len(resolved), 2),
        most_labels=max(len(record.labels) for record in resolved),
        unofficial=dict(sorted(Counter(label for record in resolved for label in record.unofficial).items())),
    )


def _table(source: ContestSource, name: str, *, with_labels: bool, setting: str) -> list[RawRecord]:
    return read_table(source.folder / name, source.layout, source.roles, with_labels, setting)


def _refuse_repeated_ids(records: Sequence[RawRecord], column: str) -> None:
    first: dict[str, RawRecord] = {}
    for record in records:
        earlier = first.setdefault(record.id, record)
        if earlier is not record:
            raise UserError(
                f"{record.place}, field {column}",
                f"the id {shown(record.id)} stands in {earlier.place} already",
                "every id may stand once in all tables: rename or remove one",
            )


def _refuse_mixed_orders(records: Sequence[RawRecord], column: str) -> None:
    ordered = [record for record in records if record.order is not None]
    for record in ordered:
        is_date, first_is_date = isinstance(record.order, datetime), isinstance(ordered[0].order, datetime)
        if is_date != first_is_date:
            kinds = ("a date", "a number") if is_date else ("a number", "a date")
            raise UserError(
                f"{record.place}, field {column}",
                f"is {kinds[0]}, {shown(str(record.order))}, but {ordered[0].place} has {kinds[1]}",
                "write numbers alone or dates alone: the two have no common order",
            )


def _label_names(source: ContestSource, train: Sequence[RawRecord]) -> LabelNames:
    """Return the official list, or else every label of the training records that no alias replaces."""
    path = source.folder / source.aliases if source.aliases else None
    aliases = read_aliases(path) if path else {}
    if source.labels:
        official = read_label_list(source.folder / source.labels)
    else:
        official = tuple(sorted({label for record in train for label in record.labels} - aliases.keys()))
    return LabelNames(official, check_aliases(aliases, official, path) if path else {})
