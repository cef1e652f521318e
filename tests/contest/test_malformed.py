"""Malformed input through the real command line: status 2, one line with place, value and fix, nothing left behind."""

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from polydx.cli import main
from workbooks import SHEET, rewrite_sheet

BASE = Path(__file__).parents[2] / "configs" / "base.yaml"
CONFIG = """
run: {name: tiny}
contest:
  folder: data
  labels: labels.txt
  columns: {id: id, sections: [complaint, history], age: age, sex: sex, numbers: [weight], labels: labels}
clean: {headings: {}}
members: {words: {kind: linear}}
"""
SECRET = "患者张三反复咳嗽两月余,夜间加重伴发热,住某市某路某号。"


def record(id_: str, **fields: object) -> dict[str, object]:
    whole = {"id": id_, "complaint": f"{SECRET}{id_}", "history": "既往体健", "age": "Y7", "sex": "男", "weight": 20}
    return {**whole, **fields}


def labelled(id_: str, **fields: object) -> dict[str, object]:
    return record(id_, **{"labels": ["肺炎"], **fields})


def dump(*records: object) -> str:
    return json.dumps(records, ensure_ascii=False)


def lines(*records: object) -> str:
    return "\n".join(json.dumps(record, ensure_ascii=False) for record in records)


TRAIN = dump(labelled("A1"), labelled("A2", labels=["腹泻"]))
CSV = (
    "contest.train=[train.csv]",
    "contest.columns={id: id, sections: [text], age: null, sex: null, numbers: [], label_delimiter: '|'}",
)


@dataclass(frozen=True)
class Case:
    """One fault.

    Attributes:
        name: What is wrong.
        expected: What the one line must contain, besides a fix.
        files: Contents of `data/` and `configs/` that differ from the sound ones; None takes a file away.
        overrides: `key=value` arguments.
        prepare: A fault that is no file's content.
        config: The configuration named in the call.
    """

    name: str
    expected: Sequence[str]
    files: Mapping[str, str | bytes | None] = field(default_factory=dict)
    overrides: Sequence[str] = ()
    prepare: Callable[[], object] | None = None
    config: str = "configs/tiny.yaml"


def train(name: str, expected: Sequence[str], *records: object) -> Case:
    """A fault in the training table."""
    return Case(name, expected, {"data/train.json": dump(*records)})


def folder_instead(path: str) -> Callable[[], object]:
    def prepare() -> None:
        Path(path).unlink()
        Path(path).mkdir()

    return prepare


def write_parquet(**columns: pa.Array) -> None:
    parquet.write_table(pa.table(columns), "data/train.parquet")


def column_twice() -> None:
    parquet.write_table(pa.table([["1"], ["2"]], names=["id", "id"]), "data/train.parquet")


def cut_xml() -> None:
    pd.DataFrame([labelled("A1")]).to_excel("data/train.xlsx")
    rewrite_sheet(Path("data/train.xlsx"), lambda xml: xml[:-40])


def damaged_archive() -> None:
    pd.DataFrame([labelled("A1")]).to_excel("data/train.xlsx")
    whole = Path("data/train.xlsx").read_bytes()
    start = whole.index(SHEET.encode()) + len(SHEET)
    Path("data/train.xlsx").write_bytes(whole[:start] + b"\xff" * 20 + whole[start + 20 :])


PLACE = "data/train.json, record 2"
CASES = [
    # Files
    Case("absent folder", ["data/none: there is no such folder"], overrides=["contest.folder=data/none"]),
    Case("a file for a folder", ["data/test.json: is no folder"], overrides=["contest.folder=data/test.json"]),
    Case("absent table", ["data/train.json: there is no such file"], {"data/train.json": None}),
    Case("absent unlabelled table", ["data/more.json: there is no such"], overrides=["contest.unlabelled=more.json"]),
    Case("a folder for a table", ["data/test.json: is a folder"], prepare=folder_instead("data/test.json")),
    Case("a table inside a file", ["lies in something"], overrides=["contest.test=train.json/test.json"]),
    Case("empty file", ["data/train.json: is empty"], {"data/train.json": ""}),
    Case("no record", ["data/test.json: holds no record"], {"data/test.json": "[]"}),
    Case("wrong encoding", ["data/train.json, line 1", "isn't utf-8"], {"data/train.json": TRAIN.encode("gb18030")}),
    Case("unknown encoding", ["contest.encoding: 'utf-9'"], overrides=["contest.encoding=utf-9"]),
    Case("an encoding of no text", ["contest.encoding: 'hex' is no text"], overrides=["contest.encoding=hex"]),
    Case("a cipher", ["contest.encoding: 'rot13' is no text encoding"], overrides=["contest.encoding=rot13"]),
    Case("unknown ending", ["data/train.dat: its ending"], {"data/train.dat": "x"}, ["contest.train=[train.dat]"]),
    # JSON
    Case(
        "broken JSON", ["data/train.json, line 3, column"], {"data/train.json": TRAIN[:-1].replace("}, {", "},\n\n{")}
    ),
    Case("not a list", ["data/train.json: holds an object"], {"data/train.json": '{"A1": {"complaint": "x"}}'}),
    Case("a record that is none", [f"{PLACE}: is 7"], {"data/train.json": dump(labelled("A1"), 7)}),
    Case("a key twice", ["data/train.json: the key 'id' stands twice"], {"data/train.json": '[{"id": 1, "id": 2}]'}),
    Case("endless nesting", ["data/train.json: too deeply nested"], {"data/train.json": "[" * 100_000}),
    Case(
        "broken JSON line",
        ["data/train.jsonl, line 3, column"],
        {"data/train.jsonl": lines(labelled("A1"), labelled("A2")) + '\n{"id": "A3", }\n'},
        ["contest.train=[train.jsonl]"],
    ),
    # CSV, Parquet, Excel
    Case(
        "cells missing",
        ["data/train.csv, line 3", "2 cells"],
        {"data/train.csv": "id,text,labels\n1,x,肺炎\n2,y\n"},
        CSV,
    ),
    Case(
        "unclosed quote", ["data/train.csv, line 2: broken CSV"], {"data/train.csv": 'id,text,labels\n1,"x,肺炎\n'}, CSV
    ),
    Case(
        "other separator", ["data/train.csv, line 1: has no ','"], {"data/train.csv": "id;text;labels\n1;x;肺炎\n"}, CSV
    ),
    Case(
        "column twice", ["line 1: two columns are named 'id'"], {"data/train.csv": "id,id,text,labels\n1,1,x,y\n"}, CSV
    ),
    Case("column without a name", ["line 1: a column has no name"], {"data/train.csv": "id,,text,labels\n"}, CSV),
    Case(
        "NaN labels in CSV",
        ["line 2, field labels: a label is 'nan'"],
        {"data/train.csv": "id,text,labels\n1,x,nan\n"},
        CSV,
    ),
    Case(
        "corrupt Parquet",
        ["data/train.parquet: is no readable Parquet file"],
        {"data/train.parquet": b"PAR1 not really PAR1"},
        ["contest.train=[train.parquet]"],
    ),
    Case(
        "corrupt Excel",
        ["data/train.xlsx: is no readable Excel workbook"],
        {"data/train.xlsx": b"PK\x03\x04 not really"},
        ["contest.train=[train.xlsx]"],
    ),
    Case(
        "NaN labels in Parquet",
        ["data/train.parquet, record 2, field labels: the labels are missing"],
        prepare=lambda: pd.DataFrame([labelled("A1"), labelled("A2", labels=None)]).to_parquet("data/train.parquet"),
        overrides=["contest.train=[train.parquet]"],
    ),
    Case(
        "column twice in Parquet",
        ["data/train.parquet: two columns are named 'id'; rename one"],
        prepare=column_twice,
        overrides=["contest.train=[train.parquet]"],
    ),
    Case(
        "text in Parquet that isn't UTF-8",
        ["data/train.parquet: is no readable Parquet file (UnicodeDecodeError)"],
        prepare=lambda: write_parquet(id=pa.array([b"\xff"]).view(pa.string())),
        overrides=["contest.train=[train.parquet]"],
    ),
    Case(
        "a time in Parquet beyond all calendars",
        ["data/train.parquet: is no readable Parquet file (OverflowError)"],
        prepare=lambda: write_parquet(id=pa.array([2**62], pa.timestamp("ms"))),
        overrides=["contest.train=[train.parquet]"],
    ),
    Case(
        "Excel's XML cut short",
        ["data/train.xlsx: is no readable Excel workbook (ParseError)"],
        prepare=cut_xml,
        overrides=["contest.train=[train.xlsx]"],
    ),
    Case(
        "damaged bytes in Excel's archive",
        ["data/train.xlsx: is no readable Excel workbook (error)"],
        prepare=damaged_archive,
        overrides=["contest.train=[train.xlsx]"],
    ),
    # Records
    Case("missing column", ["data/train.json: has no column 'outcome'"], overrides=["contest.columns.labels=outcome"]),
    Case(
        "a record where names should be",
        ["data/train.csv: has no column 'id' (it has 1, a long text, '男')", "its first line must name the columns"],
        {"data/train.csv": "1,男,患者张三因发热咳嗽三天，加重一天，由门诊收入我院呼吸内科\n2,女,腹泻\n"},
        ["contest.train=[train.csv]"],
    ),
    Case(
        "UTF-16 without its mark",
        ["data/train.json, line 1: isn't utf-16: it has no byte order mark; write utf-16-le or"],
        {"data/train.json": dump(labelled("1")).encode("utf-16-le")},
        ["contest.encoding=utf-16", "contest.format=jsonl"],
    ),
    train("duplicate ids", [f"{PLACE}, field id: the id 'A1'", "record 1"], labelled("A1"), labelled("A1")),
    train(
        "an id in train and test", ["data/test.json, record 1, field id: the id 'B1'"], labelled("A1"), labelled("B1")
    ),
    train("empty id", [f"{PLACE}, field id: the id is ''"], labelled("A1"), labelled("")),
    train("null id", [f"{PLACE}, field id: the id is null"], labelled("A1"), record("x", id=None, labels=[])),
    train("half an id", [f"{PLACE}, field id: the id is 1.5"], labelled("A1"), record("x", id=1.5, labels=[])),
    train(
        "no text at all",
        [f"{PLACE}, fields complaint, history"],
        labelled("A1"),
        labelled("A2", complaint=" ", history=None),
    ),
    train(
        "text is a list", [f"{PLACE}, field complaint: is a list"], labelled("A1"), labelled("A2", complaint=[SECRET])
    ),
    train("age is an object", [f"{PLACE}, field age: is an object"], labelled("A1"), labelled("A2", age={"years": 7})),
    train("sex is a truth value", [f"{PLACE}, field sex: is True"], labelled("A1"), labelled("A2", sex=True)),
    train("number is none", [f"{PLACE}, field weight: 'heavy'"], labelled("A1"), labelled("A2", weight="heavy")),
    train("number without end", [f"{PLACE}, field weight"], labelled("A1"), labelled("A2", weight="1e999")),
    Case(
        "an order that is none",
        [f"{PLACE}, field day: 'soon' is no finite number and no date", "2021-03-05"],
        {"data/train.json": dump(labelled("A1", day="2021-03-05"), labelled("A2", day="soon"))},
        ["contest.columns.order=day"],
    ),
    Case(
        "numbers and dates in one order",
        [
            "data/test.json, record 1, field day: is a date, '2021-03-05 00:00:00'",
            "but data/train.json, record 1 has a number; write",
        ],
        {
            "data/train.json": dump(labelled("A1", day=7), labelled("A2", day=None)),
            "data/test.json": dump(record("B1", day="2021年3月5日")),
        },
        ["contest.columns.order=day"],
    ),
    Case("no column of the order", ["data/train.json: has no column 'day'"], overrides=["contest.columns.order=day"]),
    # Labels
    train(
        "labels are null",
        [f"{PLACE}, field labels: the labels are missing"],
        labelled("A1"),
        labelled("A2", labels=None),
    ),
    train(
        "labels are NaN",
        [f"{PLACE}, field labels: the labels are missing"],
        labelled("A1"),
        labelled("A2", labels=float("nan")),
    ),
    train(
        "labels are a text",
        [f"{PLACE}, field labels: the labels are '肺炎'"],
        labelled("A1"),
        labelled("A2", labels="肺炎"),
    ),
    train(
        "a label is null", [f"{PLACE}, field labels: a label is null"], labelled("A1"), labelled("A2", labels=[None])
    ),
    train("no official label", ["data, field labels: no training record has"], labelled("A1", labels=["感冒"])),
    Case(
        "label outside the official list",
        [f"{PLACE}, field labels: '感冒' is not in the official list"],
        {"data/train.json": dump(labelled("A1"), labelled("A2", labels=["肺炎", "感冒"]))},
        ["clean.unofficial_labels=refuse"],
    ),
    Case(
        "a delimiter for a list",
        [", field labels: the labels are a list"],
        overrides=["contest.columns.label_delimiter='|'"],
    ),
    Case("absent official list", ["data/none.txt: there is no"], overrides=["contest.labels=none.txt"]),
    Case("empty official list", ["data/labels.txt: is empty"], {"data/labels.txt": "\n \n"}),
    Case(
        "an official label twice",
        ["data/labels.txt, line 3: the label '肺炎'"],
        {"data/labels.txt": "肺炎\n腹泻\n肺炎\n"},
    ),
    Case(
        "official list in another encoding",
        ["data/labels.txt, line 1", "; save it as UTF-8; for tables of records, name their encoding in"],
        {"data/labels.txt": "肺炎".encode("gb18030")},
    ),
    Case(
        "unknown label in aliases",
        ["data/aliases.json, alias '肺部感染': '肺火' is no known label"],
        {"data/aliases.json": '{"肺部感染": "肺火"}'},
        ["contest.aliases=aliases.json"],
    ),
    Case(
        "alias for an official label", ["alias '腹泻'"], {"data/a.json": '{"腹泻": "肺炎"}'}, ["contest.aliases=a.json"]
    ),
    Case("aliases are a list", ["data/a.json: holds a list"], {"data/a.json": "[]"}, ["contest.aliases=a.json"]),
    # Settings
    Case("absent configuration", ["configs/none.yaml"], config="configs/none.yaml"),
    Case("broken YAML", ["configs/tiny.yaml:3"], {"configs/tiny.yaml": "run: {name: tiny}\ncontest: [\n"}),
    Case(
        "unknown setting",
        ["configs/tiny.yaml:8", "splits"],
        {"configs/tiny.yaml": CONFIG.strip() + "\nsplits: {folds: 3}\n"},
    ),
    Case("value out of range", ["split.folds", "1"], overrides=["split.folds=1"]),
    Case("value of the wrong type", ["split.folds", "many"], overrides=["split.folds=many"]),
    Case("unknown key in the call", ["spilt.folds"], overrides=["spilt.folds=3"]),
    Case("no key=value in the call", ["split.folds"], overrides=["split.folds"]),
    Case(
        "unknown encoder in a member",
        ["members.big.encoder", "medbert"],
        overrides=["members.big={kind: transformer, encoder: medbert}"],
    ),
    Case("unknown kind of member", ["members.big", "forest"], overrides=["members.big={kind: forest}"]),
    Case("a column with two roles", ["contest.columns", "'sex'"], overrides=["contest.columns.categories=[sex]"]),
]


@pytest.fixture
def contest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sound contest and configuration; the working folder is theirs."""
    monkeypatch.chdir(tmp_path)
    Path("configs").mkdir()
    shutil.copy(BASE, "configs/base.yaml")
    Path("configs/tiny.yaml").write_text(CONFIG.strip() + "\n", encoding="utf-8")
    Path("data").mkdir()
    Path("data/train.json").write_text(TRAIN, encoding="utf-8")
    Path("data/test.json").write_text(dump(record("B1")), encoding="utf-8")
    Path("data/labels.txt").write_text("肺炎\n腹泻\n", encoding="utf-8")


def left_behind() -> list[Path]:
    return [path for folder in ("runs", "submissions") for path in Path(folder).rglob("*") if path.is_file()]


def spoil(case: Case) -> None:
    for name, content in case.files.items():
        if content is None:
            Path(name).unlink()
        else:
            Path(name).write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    if case.prepare is not None:
        case.prepare()


def assert_one_good_line(error: str, case: Case) -> None:
    assert error.count("\n") == 1, error
    assert error.endswith("\n")
    assert ";" in error, "no fix"
    assert "Traceback" not in error
    assert "张三" not in error
    for expected in case.expected:
        assert expected in error


@pytest.mark.usefixtures("contest")
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_one_line_and_nothing_left(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(case)
    for call in (["check", case.config], ["clean", "--config", case.config]):
        status = main([*call, *case.overrides])
        captured = capsys.readouterr()
        assert status == 2
        assert captured.out == ""
        assert_one_good_line(captured.err, case)
    assert left_behind() == []


def test_enough_faults_are_visited() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 30


@pytest.mark.usefixtures("contest")
def test_the_sound_contest_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "configs/tiny.yaml"]) == 0
    assert json.loads(capsys.readouterr().out)["contest"]["train"] == 2
    assert left_behind() == []
    assert main(["clean", "--config", "configs/tiny.yaml"]) == 0
    assert sorted(path.name for path in left_behind()) == ["cleaning.json", "labels.json", "records.parquet"]


@pytest.mark.usefixtures("contest")
@pytest.mark.parametrize("bytes_left", [0, 3000])
def test_a_full_disk(bytes_left: int) -> None:
    """Every file may grow to `bytes_left` only, so that writing fails in the middle, as on a full disk."""
    command = "import sys; from polydx.cli import main; sys.exit(main(['clean', '--config', 'configs/tiny.yaml']))"
    done = subprocess.run(
        [sys.executable, "-c", command],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, bytes_left)),
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert_one_good_line(done.stderr, Case("full disk", ["records.parquet"]))
    assert left_behind() == []
