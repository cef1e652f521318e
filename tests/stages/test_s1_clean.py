"""The clean stage: what it writes, what it counts, and that test labels leave no trace."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from polydx.artifacts import read_json
from polydx.config import Clean, Contest
from polydx.contest import records as schema
from polydx.errors import UserError
from polydx.paths import RunPaths
from polydx.stages import s1_clean

BASE = yaml.safe_load((Path(__file__).parents[2] / "configs" / "base.yaml").read_text(encoding="utf-8"))
LONG = "患者于2月前无明显诱因下出现咳嗽,呈阵发性、刺激性干咳,无痰,无发热,无气促,无发绀,少许鼻塞流涕,于我院门诊就诊。"


def settings(folder: Path, **changes: object) -> tuple[Contest, Clean]:
    contest = {**BASE["contest"], "folder": folder, "labels": "labels.txt", "aliases": "aliases.json"}
    clean = dict(BASE["clean"])
    for name, value in changes.items():
        (clean if name in clean else contest)[name] = value
    contest["columns"] = {**contest["columns"], "numbers": ["weight"], "categories": ["ward"]}
    return Contest(**contest), Clean(**clean)


def record(id_: str, **fields: object) -> dict[str, object]:
    sections = dict.fromkeys(BASE["contest"]["columns"]["sections"])
    return {"emr_id": id_, "age": None, "gender": None, **sections, "weight": None, "ward": None, **fields}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    train = [
        record(
            "ZY000012",
            age="Y48",
            gender="男性",
            chief_complaint="主诉：主诉:反复咳嗽２月<br/>",
            diagnosis=["腹泻", "肺部感染"],
        ),
        record("ZY000013", age="3岁4月", gender="?", chief_complaint=LONG, diagnosis=["头部外伤"]),
        record("ZY000014", age="6月", chief_complaint="无", past_history="暂缺", diagnosis=["肺炎"]),
        record("ZY000015", age="七旬", history_of_present_illness=LONG, diagnosis=["肺炎", "肺部感染", "头部外伤"]),
    ]
    test = [
        record("T2", chief_complaint=LONG + "1", weight="12.5", ward="儿科", diagnosis=["肺炎"]),
        record("x", age="7", chief_complaint="无", diagnosis=[]),
    ]
    unlabelled = [record("U1", past_history="无"), record("U2", past_history="既往体健")]
    for name, records in {"train": train, "test": test, "more": unlabelled}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
    (tmp_path / "labels.txt").write_text("肺炎\n痔\n腹泻\n", encoding="utf-8")
    (tmp_path / "aliases.json").write_text('{"肺部感染": "肺炎"}', encoding="utf-8")
    return tmp_path


def clean(folder: Path, run: str = "run", **changes: object) -> RunPaths:
    paths = RunPaths(run, runs=folder / "runs")
    s1_clean.run(paths, *settings(folder, **{"unlabelled": "more.json", **changes}))
    return paths


def test_records(folder: Path) -> None:
    paths = clean(folder)
    table = schema.read_records(paths.records, paths.labels).table

    assert table[schema.ID].tolist() == ["ZY000012", "ZY000015", "T2", "x", "U2"]
    assert table[schema.PART].tolist() == ["train", "train", "test", "test", "unlabelled"]
    assert table[schema.ROW].tolist() == [0, 3, 0, 1, 1]
    np.testing.assert_array_equal(table[schema.RECORD_NUMBER], [12, 15, 2, np.nan, 2])
    np.testing.assert_array_equal(table[schema.AGE_YEARS], [48, np.nan, np.nan, 7, np.nan])
    assert table[schema.SEX].fillna("").tolist() == ["male", "", "", "", ""]
    assert table["section_chief_complaint"].fillna("").tolist() == ["反复咳嗽2月", "", LONG + "1", "", ""]
    np.testing.assert_array_equal(table["number_weight"], [np.nan, np.nan, 12.5, np.nan, np.nan])
    assert table["category_ward"].fillna("").tolist() == ["", "", "儿科", "", ""]
    assert table[schema.TEXT].tolist() == [
        "男 48岁 主诉:反复咳嗽2月",
        f"现病史:{LONG}",
        f"主诉:{LONG}1",
        "7岁",
        "既往史:既往体健",
    ]
    assert [list(ends) for ends in table[schema.PART_ENDS]] == [[1, 5, 15], [len(LONG) + 4], [len(LONG) + 4], [2], [8]]
    assert [list(labels) for labels in table[schema.LABELS]] == [["肺炎", "腹泻"], ["肺炎"], [], [], []]
    assert table[schema.DUPLICATE_GROUP].tolist() == [0, 1, 1, 3, 4]
    dtypes = table.dtypes.astype(str)
    assert dtypes[[schema.ROW, schema.DUPLICATE_GROUP]].tolist() == ["int64", "int64"]
    assert dtypes[[schema.RECORD_NUMBER, schema.AGE_YEARS, "number_weight"]].tolist() == ["float64"] * 3


def test_labels_and_counts(folder: Path) -> None:
    paths = clean(folder)
    assert read_json(paths.labels) == {"labels": ["肺炎", "痔", "腹泻"], "counts": {"肺炎": 2, "痔": 0, "腹泻": 1}}
    report = read_json(paths.cleaning)
    assert report["records"] == {
        "train": {"read": 4, "kept": 2},
        "test": {"read": 2, "kept": 2},
        "unlabelled": {"read": 2, "kept": 1},
    }
    assert report["dropped"] == [
        {"id": "ZY000013", "part": "train", "reason": "no official label"},
        {"id": "ZY000014", "part": "train", "reason": "no text after cleaning"},
        {"id": "U1", "part": "unlabelled", "reason": "no text after cleaning"},
    ]
    assert report["test_without_text"] == ["x"]
    assert report["labels"] == {
        "aliases_replaced": {"肺部感染": 2},
        "unofficial_dropped": {"头部外伤": 2},
        "repeated_dropped": 1,
    }
    complaint = report["sections"]["chief_complaint"]
    assert complaint == {
        "missing": 3,
        "width": 1,
        "html": 1,
        "control": 0,
        "whitespace": 1,
        "heading": 1,
        "placeholder": 2,
    }
    assert report["ages"] == {
        "number": 1, "letter_first": 1, "units": 1, "missing": 3, "implausible": 0, "unreadable": 1,
    }  # fmt: skip
    assert report["duplicates"] == {"groups": 1, "records": 2, "groups_across_parts": 1}
    assert LONG not in paths.cleaning.read_text(encoding="utf-8")


def test_records_without_labels_may_stay(folder: Path) -> None:
    paths = clean(folder, without_labels="keep")
    records = schema.read_records(paths.records, paths.labels)
    assert records.part(schema.TRAIN)[schema.ID].tolist() == ["ZY000012", "ZY000013", "ZY000015"]
    assert records.targets().tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 0]]


def test_without_an_official_list_the_training_labels_stand_in_order(folder: Path) -> None:
    paths = clean(folder, labels=None)
    assert read_json(paths.labels)["labels"] == sorted(["肺炎", "腹泻", "头部外伤"])


def test_test_labels_leave_no_trace(folder: Path) -> None:
    first = clean(folder)
    table = json.loads((folder / "test.json").read_text(encoding="utf-8"))
    for row in table:
        row["diagnosis"] = ["痔", {"not": "even a label"}]
    (folder / "test.json").write_text(json.dumps(table), encoding="utf-8")
    second = clean(folder, run="other")
    for name in ("records", "labels", "cleaning"):
        assert getattr(first, name).read_bytes() == getattr(second, name).read_bytes()


def test_nothing_labelled_left_is_an_error(folder: Path) -> None:
    (folder / "train.json").write_text(
        json.dumps([record("A1", chief_complaint="无", diagnosis=["肺炎"])]), encoding="utf-8"
    )
    with pytest.raises(UserError, match="no labelled record is left"):
        clean(folder)
    assert not (folder / "runs").exists()


def test_check_says_what_there_is(folder: Path) -> None:
    summary = s1_clean.check_raw(*settings(folder, unlabelled=None))
    assert summary == {
        "train": 4,
        "test": 2,
        "unlabelled": 0,
        "labels": 3,
        "labels_without_records": ("痔",),
        "train_without_labels": 1,
        "labels_a_record": 1.0,
        "most_labels": 2,
        "unofficial": {"头部外伤": 2},
        "not_understood": {
            "sex": {"records": 1, "first": f"{folder / 'train.json'}, record 2: '?'"},
            "age": {"records": 1, "first": f"{folder / 'train.json'}, record 4: '七旬'"},
        },
    }
