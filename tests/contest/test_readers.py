"""One record schema from every format; test labels end in the reader."""

import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest

from polydx.contest.readers import ColumnRoles, RawRecord, read_label_list, read_labels, read_table
from polydx.contest.tables import TableLayout
from polydx.errors import UserError
from workbooks import rewrite_sheet

ROLES = ColumnRoles("emr_id", ("complaint", "history"), "age", "sex", ("weight",), ("ward",), "diagnosis", None)
DELIMITED = ColumnRoles("emr_id", ("complaint", "history"), "age", "sex", ("weight",), ("ward",), "diagnosis", "|")
RECORDS: list[dict[str, object]] = [
    {
        "emr_id": "ZY01",
        "complaint": "咳嗽,2天",
        "history": None,
        "age": "3岁4月",
        "sex": "男",
        "weight": 12.5,
        "ward": "A",
        "diagnosis": ["肺炎", "腹泻"],
        "unused": "x",
    },
    {
        "emr_id": "ZY02",
        "complaint": "发热",
        "history": "既往体健",
        "age": "7",
        "sex": "女",
        "weight": None,
        "ward": None,
        "diagnosis": [],
        "unused": "y",
    },
]


def layout(format_: str = "auto", separator: str = ",", encoding: str = "utf-8") -> TableLayout:
    return TableLayout(format_, separator, encoding)  # type: ignore[arg-type]


def delimited(records: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{**record, "diagnosis": "|".join(record["diagnosis"])} for record in records]  # type: ignore[arg-type]


def write(path: Path, separator: str = ",", encoding: str = "utf-8") -> None:
    flat = pd.DataFrame(delimited(RECORDS))
    if path.suffix == ".json":
        path.write_text(json.dumps(RECORDS, ensure_ascii=False), encoding=encoding)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(record) for record in RECORDS) + "\n\n", encoding=encoding)
    elif path.suffix == ".parquet":
        pd.DataFrame(RECORDS).to_parquet(path, index=False)
    elif path.suffix == ".xlsx":
        flat.to_excel(path, index=False)
    elif len(separator) == 1:
        flat.to_csv(path, index=False, sep=separator, encoding=encoding)
    else:
        lines = [flat.columns.tolist(), *flat.astype(object).where(flat.notna(), "").to_numpy().tolist()]
        path.write_text("\r\n".join(separator.join(map(str, line)) for line in lines) + "\n", encoding=encoding)


def plain(records: list[RawRecord]) -> list[tuple[object, ...]]:
    """Everything but the place; empty texts (CSV has no null) and NaN as None."""
    return [
        (
            record.id,
            tuple(text or None for text in record.sections),
            record.age,
            record.sex,
            tuple(None if math.isnan(number) else number for number in record.numbers),
            tuple(category or None for category in record.categories),
            record.labels,
        )
        for record in records
    ]


EXPECTED = [
    ("ZY01", ("咳嗽,2天", None), "3岁4月", "男", (12.5,), ("A",), ("肺炎", "腹泻")),
    ("ZY02", ("发热", "既往体健"), "7", "女", (None,), (None,), ()),
]


@pytest.mark.parametrize(
    ("name", "separator", "encoding"),
    [
        ("t.json", ",", "utf-8"),
        ("t.json", ",", "utf-8-sig"),
        ("t.jsonl", ",", "gb18030"),
        ("t.parquet", ",", "utf-8"),
        ("t.xlsx", ",", "utf-8"),
        ("t.csv", ",", "utf-8"),
        ("t.csv", ";", "utf-16"),
        ("t.tsv", "\t", "gb18030"),
        ("t.csv", "|,|", "utf-8"),
    ],
)
def test_every_format_gives_the_same_records(tmp_path: Path, name: str, separator: str, encoding: str) -> None:
    path = tmp_path / name
    write(path, separator, encoding)
    roles = ROLES if path.suffix in {".json", ".jsonl", ".parquet"} else DELIMITED
    encoding = "utf-8" if encoding == "utf-8-sig" else encoding  # a byte order mark is no reason to fail
    records = read_table(path, layout("auto", separator, encoding), roles, with_labels=True, setting="contest.train")
    assert plain(records) == EXPECTED


@pytest.mark.parametrize("name", ["t.json", "t.jsonl", "t.csv", "t.parquet", "t.xlsx"])
def test_without_labels_none_pass_whatever_they_are(tmp_path: Path, name: str) -> None:
    write(tmp_path / name)
    records = read_table(tmp_path / name, layout(), ROLES, with_labels=False, setting="contest.test")
    assert [record.labels for record in records] == [(), ()]
    assert "肺炎" not in repr(records)


def test_a_named_format_wins_over_the_ending(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl")
    (tmp_path / "t.jsonl").rename(tmp_path / "t.txt")
    assert plain(read_table(tmp_path / "t.txt", layout("jsonl"), ROLES, True, "contest.train")) == EXPECTED


def test_quoted_cells_hold_separators_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('id,text,labels\n1,"a,\nb",x\n2,c,\n', encoding="utf-8")
    roles = ColumnRoles("id", ("text",), None, None, (), (), "labels", "|")
    records = read_table(path, layout(), roles, True, "contest.train")
    assert [record.sections for record in records] == [("a,\nb",), ("c",)]
    assert [record.place for record in records] == [f"{path}, line 2", f"{path}, line 4"]


def test_whole_numbers_become_text_where_text_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text('[{"id": 7, "text": "x", "age": 48, "labels": [2, "3 "], "w": NaN}]', encoding="utf-8")
    roles = ColumnRoles("id", ("text",), "age", None, ("w",), (), "labels", None)
    record = read_table(path, layout(), roles, True, "contest.train")[0]
    assert (record.id, record.age, record.labels) == ("7", "48", ("2", "3"))
    assert math.isnan(record.numbers[0])


@pytest.mark.parametrize("size", ["A1:B2", "A1", "C2:D2"])
def test_a_sheet_that_misstates_its_size_loses_nothing(tmp_path: Path, size: str) -> None:
    path = tmp_path / "t.xlsx"
    write(path)
    rewrite_sheet(path, lambda xml: re.sub('<dimension ref="[^"]*"', f'<dimension ref="{size}"', xml))
    assert plain(read_table(path, layout(), DELIMITED, True, "contest.train")) == EXPECTED


def test_excel_escapes_and_long_numbers_are_read_as_they_were_typed(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    texts = ["咳嗽_x000D_\n2天", "a _x005F_x000D_ b"]
    pd.DataFrame({"id": [2.02e16, 7.0], "complaint_x000D_": texts, "w": [0.5, 1e300]}).to_excel(path, index=False)
    roles = ColumnRoles("id", ("complaint\r",), None, None, ("w",), (), "labels", "|")
    records = read_table(path, layout(), roles, False, "contest.test")
    assert [record.id for record in records] == ["20200000000000000", "7"]
    assert [record.sections for record in records] == [("咳嗽\r\n2天",), ("a _x000D_ b",)]
    assert [record.numbers for record in records] == [(0.5,), (1e300,)]


def test_only_ids_and_labels_are_needed_of_a_truth_table(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("emr_id,diagnosis\nZY1,肺炎|腹泻\nZY2,\n", encoding="utf-8")
    assert read_labels(path, layout(), DELIMITED, "contest.truth") == {"ZY1": ("肺炎", "腹泻"), "ZY2": ()}
    path.write_text("emr_id,diagnosis\nZY1,肺炎\nZY1,\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 3, field emr_id: the id 'ZY1' stands here again"):
        read_labels(path, layout(), DELIMITED, "contest.truth")


def test_label_list(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("\ufeff肺炎\r\n\n腹泻 \n", encoding="utf-8")
    assert read_label_list(path) == ("肺炎", "腹泻")


def test_errors_never_show_a_record(tmp_path: Path) -> None:
    secret = "患者张三,住本市某路某号,反复咳嗽两月余,夜间加重伴发热。"
    path = tmp_path / "t.json"
    roles = ColumnRoles("id", ("text",), "age", None, ("w",), (), "labels", None)
    good = {"id": "1", "text": "x", "age": "7", "w": 1, "labels": ["a"]}
    faults = [{"id": [secret]}, {"text": [secret]}, {"age": {secret: 1}}, {"w": secret}, {"labels": secret}]
    for fault in faults:
        path.write_text(json.dumps([{**good, **fault}], ensure_ascii=False), encoding="utf-8")
        with pytest.raises(UserError) as caught:
            read_table(path, layout(), roles, True, "contest.train")
        assert "张三" not in str(caught.value)
        assert f"record 1, field {next(iter(fault))}" in str(caught.value)
    path.write_text('[{"text": "' + secret + '", }]', encoding="utf-8")
    with pytest.raises(UserError, match="line 1, column") as caught:
        read_table(path, layout(), roles, True, "contest.train")
    assert "张三" not in str(caught.value)
