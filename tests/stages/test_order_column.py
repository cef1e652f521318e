"""A column of dates takes the record number's place, from the raw table to the stacker's neighbours."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from polydx.artifacts import write_array
from polydx.config import Clean, Contest, Split, Stack
from polydx.contest.records import RECORD_NUMBER, TRAIN, read_records
from polydx.errors import UserError
from polydx.judge.folds import read_folds
from polydx.judge.order import order_leak
from polydx.paths import RunPaths
from polydx.stages import s1_clean, s3_split, s8_stack

BASE = yaml.safe_load((Path(__file__).parents[2] / "configs" / "base.yaml").read_text(encoding="utf-8"))
ROWS, TEST_ROWS, RUN = 120, 20, 10
LABELS = ("a", "b", "c")


def contest(folder: Path, order: str | None = "admitted") -> Contest:
    columns = BASE["contest"]["columns"] | {"id": "id", "sections": ["text"], "age": None, "sex": None}
    columns |= {"labels": "labels", "order": order}
    changes = {"folder": folder, "train": ["train.json"], "test": "test.json", "columns": columns}
    return Contest(**(BASE["contest"] | changes))


def write_contest(folder: Path) -> np.ndarray:
    """Records admitted in runs of ten days with one label each, a day apart; ids and rows know nothing of it.

    Returns:
        `[rows]`, the day of each, training rows first.
    """
    draw = np.random.default_rng(0)
    days = draw.permutation(ROWS + TEST_ROWS)
    raw = [
        {
            "id": "patient-" + "".join(draw.choice(list("abcdefgh"), 12)),
            "text": "".join(draw.choice(list("uvwxyz "), 60)),
            "admitted": str(np.datetime64("2021-01-01") + day),
            "labels": [LABELS[day // RUN % 3]],
        }
        for day in days
    ]
    (folder / "train.json").write_text(json.dumps(raw[:ROWS]), encoding="utf-8")
    (folder / "test.json").write_text(json.dumps(raw[ROWS:]), encoding="utf-8")
    return days


def cleaned(folder: Path, order: str | None = "admitted") -> tuple[RunPaths, np.ndarray]:
    days = write_contest(folder)
    paths = RunPaths("dated", folder / "runs", folder / "submissions")
    s1_clean.run(paths, contest(folder, order), Clean(**(BASE["clean"] | {"headings": {}})))
    return paths, days


def stacked(paths: RunPaths) -> dict[str, object]:
    """The ledger of a run whose only member knows nothing."""
    s3_split.run(paths, Split(scheme="stratified", folds=4, repeats=1, holdout_share=0.2), seed=0)
    draw, folds = np.random.default_rng(1), read_folds(paths.folds)
    for job in range(folds.jobs):
        files = paths.fold_model("member", 0, job)
        write_array(files.validation, draw.random((int(folds.validation(job).sum()), 3), dtype=np.float32))
        write_array(files.test, draw.random((TEST_ROWS, 3), dtype=np.float32))
    changes = {"record_number": True, "neighbour_widths": (1, 3), "trees": 10, "bootstrap_samples": 100}
    changes |= {"tree_learning_rate": 0.3, "min_leaf_rows": 5, "frequent_positives": 20, "max_labels": 1}
    changes |= {"candidates": ("mean", "lightgbm"), "threshold_prior": 5.0, "min_labels": 1}
    s8_stack.run(paths, Stack(**(BASE["stack"] | changes)), ("member",), 0, False, 1, seed=0)
    return json.loads(paths.ledger.read_text(encoding="utf-8"))


def test_dates_number_the_records_of_all_parts(tmp_path: Path) -> None:
    paths, days = cleaned(tmp_path)
    records = read_records(paths.records, paths.labels)
    np.testing.assert_array_equal(records.table[RECORD_NUMBER], days + 1)
    places = records.part(TRAIN)[RECORD_NUMBER].to_numpy()
    found = order_leak(places, records.targets(), np.arange(len(places)), neighbours=3, permutations=5, seed=0)
    assert found is not None and found.leaks and found.macro_f1 > 0.6


def test_the_stacker_sees_neighbours_by_date(tmp_path: Path) -> None:
    paths, _ = cleaned(tmp_path)
    fusion = stacked(paths)["fusion"]
    assert fusion["lightgbm"]["oof_macro_f1"] > 0.6 > fusion["mean"]["oof_macro_f1"] + 0.15


def test_without_the_column_there_is_no_number(tmp_path: Path) -> None:
    paths, _ = cleaned(tmp_path, order=None)
    assert read_records(paths.records, paths.labels).table[RECORD_NUMBER].isna().all()
    with pytest.raises(UserError, match=r"stack\.record_number.*contest\.columns\.order"):
        stacked(paths)
