import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from polydx.artifacts import replacing, write_json
from polydx.config import Inspect
from polydx.paths import RunPaths
from polydx.stages import s2_inspect

LABELS = ("前列腺增生", "肺炎", "骨折")
INSPECT = Inspect(adversarial_folds=3, neighbours=3, permutations=5)
PICTURES = {"ages", "co_occurrence", "drift", "label_counts", "order_leaks", "section_lengths"}


def records(train: int = 120, test: int = 60) -> pd.DataFrame:
    """Records numbered department by department, shuffled; test records are older and have longer complaints."""
    draw = np.random.default_rng(0)
    numbers = draw.permutation(train + test)
    table = pd.DataFrame(
        {
            "id": [f"ZY{number:06d}" for number in numbers],
            "part": ["train"] * train + ["test"] * test,
            "row": [*range(train), *range(test)],
            "record_number": numbers.astype(np.float64),
            "age_years": draw.normal(40, 5, train + test) + 20 * (np.arange(train + test) >= train),
            "sex": ["male" if number < train / 2 else "female" for number in numbers],
            "labels": [
                [LABELS[number * 3 // (train + test)]] if row < train else [] for row, number in enumerate(numbers)
            ],
            "duplicate_group": np.arange(train + test),
            "section_complaint": ["咳嗽" * (3 + 5 * (row >= train)) for row in range(train + test)],
            "section_history": pd.Series([None] * (train + test), dtype="str"),
            "number_pulse": np.where(np.arange(train + test) % 2, 80.0, np.nan),
            "category_ward": ["内科"] * (train + test),
        }
    )
    table["text"] = table["section_complaint"]
    table.loc[train, "duplicate_group"] = 0  # a test row that copies the first training row
    return table


def inspect(folder: Path, table: pd.DataFrame) -> RunPaths:
    paths = RunPaths("tiny", folder / "runs", folder / "submissions")
    with replacing(paths.records) as target:
        table.to_parquet(target, index=False)
    write_json(paths.labels, {"labels": LABELS})
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a glyph that no font has is a warning
        s2_inspect.run(paths, INSPECT, "zh", 0)
    return paths


@pytest.fixture(scope="module")
def inspected(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    return inspect(tmp_path_factory.mktemp("inspect"), records())


def test_report_describes_the_records(inspected: RunPaths) -> None:
    found = json.loads(inspected.inspection.read_text(encoding="utf-8"))
    train = found["parts"]["train"]
    assert list(found["parts"]) == ["train", "test"]
    assert train["records"] == 120
    assert train["sections"]["complaint"]["characters"]["median"] == 6
    assert train["sections"]["history"] == {"missing_share": 1.0, "characters": None}
    assert train["numbers"]["pulse"]["mean"] == 80
    assert train["categories"]["ward"] == {"内科": 120}
    assert found["labels"]["per_record"] == {"1": 120}
    assert [label["name"] for label in found["labels"]["each"]] == list(LABELS)
    assert sum(label["records"] for label in found["labels"]["each"]) == 120
    assert found["duplicates"] == {"groups": 1, "records": 2, "groups_across": {"train and test": 1}}


def test_report_finds_what_was_planted(inspected: RunPaths) -> None:
    found = json.loads(inspected.inspection.read_text(encoding="utf-8"))
    drift = found["drift"]["features"]
    assert drift["length_complaint"]["statistic"] == 1.0
    assert drift["age_years"]["p_value"] < 1e-6
    assert drift["length_history"] is None
    assert drift["record_number"]["p_value"] > 0.01
    assert found["drift"]["adversarial_auc"]["mean"] > 0.99
    by_number = found["order"]["record_number"]
    assert by_number["leaks"] and by_number["macro_f1"] > by_number["limit"] > by_number["without"]
    assert by_number["gain"] == pytest.approx(by_number["macro_f1"] - by_number["without"])
    assert not found["order"]["row_order"]["leaks"]
    assert {"number": 3, "label": "骨折", "sex": "female"} in found["suspicious"]["one_sex_labels"]


def test_every_picture_is_written_and_nothing_else(inspected: RunPaths) -> None:
    assert {path.name for path in inspected.inspection_figures.iterdir()} == {f"{name}.png" for name in PICTURES}
    assert {path.name for path in inspected.inspection.parent.iterdir()} == {"inspection.json", "figures"}


def test_same_records_same_bytes(inspected: RunPaths, tmp_path: Path) -> None:
    again = inspect(tmp_path, records())
    files = [inspected.inspection, *sorted(inspected.inspection_figures.iterdir())]
    others = [again.inspection, *sorted(again.inspection_figures.iterdir())]
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in others]
    assert len(files) == 1 + len(PICTURES)


def test_bare_records_are_inspected_too(tmp_path: Path) -> None:
    """No ages, no sexes, no numbers, and too few rows for drift or an order."""
    table = records(5, 2).drop(columns=["number_pulse", "category_ward"])
    table["record_number"] = table["age_years"] = np.nan
    table["sex"] = pd.Series([None] * 7, dtype="str")
    found = json.loads(inspect(tmp_path, table).inspection.read_text(encoding="utf-8"))
    assert found["drift"]["adversarial_auc"] is None
    assert found["order"] == {"record_number": None, "row_order": None}
    assert found["parts"]["train"]["age_years"] is None
    assert found["parts"]["train"]["sexes"] == {"missing": 5}


def test_no_record_text_is_reported(tmp_path: Path) -> None:
    table = records()
    table["section_complaint"] = table["text"] = "秘密的主诉"
    paths = inspect(tmp_path, table)
    assert "秘密" not in paths.inspection.read_text(encoding="utf-8")
