"""Stage 1: raw tables to typed, cleaned records, with every change counted."""

import sys
from collections import Counter
from dataclasses import asdict
from itertools import chain
from typing import Any

import pandas as pd

from polydx.artifacts import replacing, write_json
from polydx.config import Clean, Contest
from polydx.contest import records as schema
from polydx.contest.cells import Order
from polydx.contest.files import shown
from polydx.contest.readers import ColumnRoles
from polydx.contest.record_table import arrow_schema, duplicate_report, order_numbers, record_columns, record_number
from polydx.contest.selection import Selection
from polydx.contest.tables import TableLayout
from polydx.contest.validate import ContestSource, RawContest, read_contest, summarise
from polydx.errors import UserError
from polydx.paths import RunPaths
from polydx.text.cleaner import RecordCleaner
from polydx.text.duplicates import duplicate_groups


def check_raw(contest: Contest, clean: Clean) -> dict[str, Any]:
    """Return what the raw contest holds (`ContestSummary`), and the values in it that mean nothing; writes nothing.

    `not_understood` has, for `age` and `sex` where there are any, the number of `records` and the `first` of them.

    Raises:
        UserError: Anything in it is malformed.
    """
    source = _source(contest)
    raw = read_contest(source, clean.unofficial_labels)
    cleaner = RecordCleaner(source.roles.sections, clean.headings, clean.placeholders, contest.language)
    return asdict(summarise(raw)) | {"not_understood": _not_understood(raw, cleaner)}


def run(paths: RunPaths, contest: Contest, clean: Clean) -> None:
    """Write `records.parquet`, `labels.json` and `cleaning.json`.

    Raises:
        UserError: Anything in the raw contest is malformed.
    """
    source = _source(contest)
    roles = source.roles
    raw = read_contest(source, clean.unofficial_labels)
    names = raw.names.official

    cleaner = RecordCleaner(roles.sections, clean.headings, clean.placeholders, contest.language)
    selection = Selection()
    rows: list[dict[str, object]] = []
    texts: list[str | None] = []
    orders: list[Order | None] = []
    positives: Counter[str] = Counter()
    for candidate in selection.candidates(raw, clean.without_labels):
        record = candidate.record
        fields = cleaner.clean(record.sections, record.age, record.sex, record.categories)
        text = "\n".join(section for section in fields.sections if section is not None)
        if not selection.keeps(candidate, text):
            continue
        rows.append(
            {
                schema.ID: record.id,
                schema.PART: candidate.part,
                schema.ROW: candidate.row,
                schema.RECORD_NUMBER: record_number(record.id),
                schema.AGE_YEARS: fields.age_years,
                schema.SEX: fields.sex,
                **record_columns(roles, fields.sections, record.numbers, fields.categories),
                schema.TEXT: fields.text,
                schema.PART_ENDS: fields.part_ends,
                schema.LABELS: candidate.labels,
            }
        )
        texts.append(text or None)
        orders.append(record.order)
        positives.update(candidate.labels)
    if not positives:
        raise UserError(str(contest.folder), "no labelled record is left after cleaning", "check clean.placeholders")
    table = pd.DataFrame(rows)
    if roles.order is not None:
        table[schema.RECORD_NUMBER] = order_numbers(orders, table[schema.ID].tolist())
    table[schema.DUPLICATE_GROUP] = duplicate_groups(
        texts, clean.duplicate_similarity, clean.shingle_characters, clean.minhash_permutations
    )

    with replacing(paths.records) as temporary:
        table.to_parquet(temporary, index=False, schema=arrow_schema(roles))
    write_json(paths.labels, {"labels": names, "counts": {name: positives[name] for name in names}})
    write_json(paths.cleaning, _report(raw, table, cleaner, selection))
    dropped = len(selection.dropped)
    print(f"s1 clean: {len(table)} records, {dropped} dropped, {len(names)} labels", file=sys.stderr)


def _not_understood(raw: RawContest, cleaner: RecordCleaner) -> dict[str, dict[str, object]]:
    records: Counter[str] = Counter()
    first: dict[str, str] = {}
    for record in chain(raw.train, raw.test, raw.unlabelled):
        for field, written, (value, spelling) in (
            ("age", record.age, cleaner.age(record.age)),
            ("sex", record.sex, cleaner.sex(record.sex)),
        ):
            if value is None and spelling != "missing":
                records[field] += 1
                first.setdefault(field, f"{record.place}: {shown(written)}")
    return {field: {"records": records[field], "first": place} for field, place in first.items()}


def _source(contest: Contest) -> ContestSource:
    return ContestSource(
        folder=contest.folder,
        train=contest.train,
        test=contest.test,
        unlabelled=contest.unlabelled,
        labels=contest.labels,
        aliases=contest.aliases,
        layout=TableLayout(contest.format, contest.separator, contest.encoding),
        roles=ColumnRoles(**contest.columns.model_dump()),
    )


def _report(raw: RawContest, table: pd.DataFrame, cleaner: RecordCleaner, selection: Selection) -> dict[str, object]:
    read = {schema.TRAIN: raw.train, schema.TEST: raw.test, schema.UNLABELLED: raw.unlabelled}
    kept = Counter(table[schema.PART])
    return {
        "records": {part: {"read": len(records), "kept": kept[part]} for part, records in read.items()},
        **selection.report(),
        "sections": cleaner.section_changes,
        "ages": cleaner.age_spellings,
        "sexes": cleaner.sex_spellings,
        "duplicates": duplicate_report(table),
    }
