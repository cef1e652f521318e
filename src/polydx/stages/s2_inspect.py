"""Stage 2: what the records look like, how the test records differ from the training records, and what leaks."""

import sys
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from polydx.artifacts import replacing, write_json
from polydx.config import Inspect
from polydx.contest import records as schema
from polydx.contest.records import TEST, TRAIN, UNLABELLED, Records, read_records
from polydx.judge.drift import Shift, adversarial_auc, feature_shift
from polydx.judge.order import OrderLeak, order_leak
from polydx.paths import RunPaths
from polydx.report import inspection_figures, summaries, suspects

Parts = dict[str, pd.DataFrame]

LENGTH_PREFIX = "length_"


def run(paths: RunPaths, inspect: Inspect, language: str, seed: int) -> None:
    """Inspect the cleaned records.

    Args:
        paths: The run's files; reads s1's, writes `inspection.json` and its figures.
        inspect: What to measure.
        language: The contest's language: Chinese records are compared by characters, others by words.
        seed: Seed of the folds and of the shuffled orders.
    """
    records = read_records(paths.records, paths.labels)
    parts = {name: rows for name in (TRAIN, TEST, UNLABELLED) if len(rows := records.part(name))}
    features = {name: _features(rows) for name, rows in parts.items()}
    truth = records.targets() > 0.5

    shifts = {
        name: feature_shift(features[TRAIN][name].to_numpy(), features[TEST][name].to_numpy())
        for name in features[TRAIN].columns.tolist()
    }
    areas = _adversarial_areas(parts, features, language, inspect.adversarial_folds, seed)
    orders = _orders(parts[TRAIN], records.targets(), inspect, seed)

    with replacing(paths.inspection_figures) as folder:
        folder.mkdir()
        _draw(folder, records, features, shifts, areas, orders)
    inspection = {
        "parts": {name: summaries.part_summary(rows) for name, rows in parts.items()},
        "labels": summaries.labels_summary(parts[TRAIN], truth, records.label_names),
        "drift": {
            "features": {name: vars(shift) if shift else None for name, shift in shifts.items()},
            "adversarial_auc": {"mean": float(np.mean(areas)), "folds": areas} if areas else None,
        },
        "order": {name: _finding(found) if found else None for name, found in orders.items()},
        "duplicates": summaries.duplicate_summary(records.table, list(parts)),
        "suspicious": suspects.suspicious(parts[TRAIN], truth, records.label_names),
    }
    write_json(paths.inspection, inspection)

    leaking = [
        f"{name.replace('_', ' ')} (macro-F1 {found.macro_f1:.3f} with it, {found.without:.3f} without)"
        for name, found in orders.items()
        if found and found.leaks
    ]
    print(
        f"s2 inspect: {len(records.table)} records, {len(records.label_names)} labels, adversarial AUC "
        f"{f'{np.mean(areas):.3f}' if areas else 'unknown (too few rows)'}, labels leak through "
        f"{' and '.join(leaking) or 'no order'}",
        file=sys.stderr,
    )


def _features(rows: pd.DataFrame) -> pd.DataFrame:
    """The record number and every numeric feature of the rows, float64, NaN where unknown."""
    columns = {name: rows[name].to_numpy(dtype=np.float64) for name in (schema.RECORD_NUMBER, schema.AGE_YEARS)}
    for name in rows.columns:
        if name.startswith(schema.SECTION_PREFIX):
            columns[LENGTH_PREFIX + name.removeprefix(schema.SECTION_PREFIX)] = summaries.characters(rows[name])
        elif name.startswith(schema.NUMBER_PREFIX):
            columns[name] = rows[name].to_numpy(dtype=np.float64)
    return pd.DataFrame(columns)


def _adversarial_areas(parts: Parts, features: Parts, language: str, folds: int, seed: int) -> tuple[float, ...]:
    both = pd.concat([features[TRAIN], features[TEST]]).drop(columns=schema.RECORD_NUMBER)
    is_test = np.repeat([False, True], [len(parts[TRAIN]), len(parts[TEST])])
    texts = [*parts[TRAIN][schema.TEXT], *parts[TEST][schema.TEXT]]
    unit: Literal["character", "word"] = "character" if language == "zh" else "word"
    return adversarial_auc(texts, both.to_numpy(), is_test, unit=unit, folds=folds, seed=seed)


def _orders(
    train: pd.DataFrame, targets: npt.NDArray[np.float32], inspect: Inspect, seed: int
) -> dict[str, OrderLeak | None]:
    """What the two orders give away; None where too few rows have a place in the order."""
    positions = {
        "record_number": train[schema.RECORD_NUMBER].to_numpy(dtype=np.float64),
        "row_order": np.arange(len(train), dtype=np.float64),
    }
    groups = train[schema.DUPLICATE_GROUP].to_numpy(dtype=np.int64)
    found = {}
    for name, places in positions.items():
        known = ~np.isnan(places)
        found[name] = order_leak(
            places[known],
            targets[known],
            groups[known],
            neighbours=inspect.neighbours,
            permutations=inspect.permutations,
            seed=seed,
        )
    return found


def _finding(found: OrderLeak) -> dict[str, float | bool | tuple[float, ...]]:
    """What an order gives away, with and without it, as `inspection.json` says it."""
    return {
        "leaks": found.leaks,
        "macro_f1": found.macro_f1,
        "without": found.without,
        "gain": found.gain,
        "by_chance": found.by_chance,
        "limit": found.limit,
    }


def _draw(
    folder: Path,
    records: Records,
    features: Parts,
    shifts: dict[str, Shift | None],
    areas: tuple[float, ...],
    orders: dict[str, OrderLeak | None],
) -> None:
    truth = records.targets() > 0.5
    inspection_figures.label_counts(folder / "label_counts.png", truth, records.label_names)
    inspection_figures.co_occurrence(folder / "co_occurrence.png", truth, records.label_names)
    lengths = {part: table.filter(like=LENGTH_PREFIX) for part, table in features.items()}
    sections = [name.removeprefix(LENGTH_PREFIX) for name in lengths[TRAIN].columns.tolist()]
    inspection_figures.section_lengths(
        folder / "section_lengths.png", {part: table.to_numpy() for part, table in lengths.items()}, sections
    )
    ages = {part: table[schema.AGE_YEARS].to_numpy() for part, table in features.items()}
    inspection_figures.ages(folder / "ages.png", ages)
    statistics = {name: shift.statistic for name, shift in shifts.items() if shift}
    inspection_figures.drift(folder / "drift.png", statistics, areas)
    measured = {name.replace("_", " "): found for name, found in orders.items() if found}
    inspection_figures.order_leaks(folder / "order_leaks.png", measured)
