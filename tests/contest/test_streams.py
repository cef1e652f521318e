"""Tables row by row: the same records as read whole, and reading goes on behind a malformed row."""

import json
import tracemalloc
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polydx.contest.readers import ColumnRoles, RawRecord, read_table, stream_table
from polydx.contest.tables import TableLayout
from polydx.errors import UserError

ROLES = ColumnRoles("id", ("text",), None, None, (), (), "labels", None)
LAYOUT = TableLayout("auto", ",", "utf-8")
MALFORMED = ["{broken", "7", '{"id": null, "text": "x"}', '{"id": "a", "text": " "}', '{"id": 1, "id": 2, "text": "x"}']


def outcomes(path: Path, layout: TableLayout = LAYOUT) -> list[str]:
    """Ids of sound records, places of faults."""
    return [
        row.place.removeprefix(f"{path}, ") if isinstance(row, UserError) else row.id
        for row in stream_table(path, layout, ROLES, "--input")
    ]


@pytest.mark.parametrize("name", ["t.json", "t.jsonl", "t.csv", "t.tsv", "t.parquet", "t.xlsx"])
def test_a_sound_table_streams_as_it_is_read_whole(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    records = [{"id": f"a{number}", "text": f"咳嗽 {number}", "labels": "x"} for number in range(5)]
    table = pd.DataFrame(records)
    if name == "t.json":
        path.write_text(json.dumps(records), encoding="utf-8")
    elif name == "t.jsonl":
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    elif name == "t.parquet":
        table.to_parquet(path, index=False, row_group_size=2)
    elif name == "t.xlsx":
        table.to_excel(path, index=False)
    else:
        table.to_csv(path, index=False, sep="\t" if name == "t.tsv" else ",")
    seen: set[str] = set()
    streamed = list(stream_table(path, LAYOUT, ROLES, "--input", seen))
    assert streamed == read_table(path, LAYOUT, ROLES, with_labels=False, setting="--input")
    assert [record.id for record in streamed if isinstance(record, RawRecord)] == ["a0", "a1", "a2", "a3", "a4"]
    assert seen == {"id", "text"}, "labels are dropped unseen"


@settings(max_examples=40, deadline=None)
@given(
    lines=st.lists(st.sampled_from(["sound", "blank", *range(len(MALFORMED))]), min_size=1, max_size=12).filter(
        lambda lines: set(lines) != {"blank"}
    ),
    ends=st.sampled_from(["\n", "\r\n"]),
)
def test_faults_stand_where_they_were_planted(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str | int], ends: str
) -> None:
    path = tmp_path_factory.mktemp("lines") / "t.jsonl"
    texts, expected = [], []
    for number, line in enumerate(lines, start=1):
        if line == "sound":
            texts.append(f'{{"id": "a{number}", "text": "x"}}')
            expected.append(f"a{number}")
        elif line == "blank":
            texts.append(" ")
        else:
            texts.append(MALFORMED[int(line)])
            expected.append(f"line {number}")
    path.write_bytes(ends.join(texts).encode())
    found = [place.split(", ")[0] for place in outcomes(path)]
    assert found == expected


def test_reading_goes_on_behind_malformed_csv_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [b"\xef\xbb\xbfid,text", b"1,x", b"2,y,z", b'3,"a\nb"', b'4,"a"b', b"5,\xff", b"6,x", b'7,"open', b"8,x"]
    path.write_bytes(b"\n".join(rows))
    assert outcomes(path) == ["1", "line 3", "3", "line 6", "line 7", "6", "line 9"]
    path.write_bytes(b"id|,|text\r\n1|,|x\r\n\xff|,|y\r\n\r\n3|,|z|,|\r\n4|,|x")
    assert outcomes(path, TableLayout("auto", "|,|", "utf-8")) == ["1", "line 3", "line 5", "4"]


def test_a_closed_quote_after_an_overlong_cell_is_reached_again(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,text\n1,x\n" + '2,"' + "y" * 140_000 + "\n3,x\n", encoding="utf-8")
    assert outcomes(path) == ["1", "line 3", "3"], "the csv module's limit bounds what an unclosed quote can take"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "gb18030"])
def test_wide_and_chinese_encodings_are_cut_at_true_line_ends(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes('{"id": "a", "text": "ਊ咳"}\n{"id": "b", "text": "嗽"}\n'.encode(encoding))
    assert outcomes(path, TableLayout("auto", ",", encoding)) == ["a", "b"]


def test_an_undecodable_line_is_one_fault_but_ends_utf_16(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"id": "a", "text": "x"}\n{"id": "\xff"}\n{"id": "b", "text": "x"}\n')
    assert outcomes(path) == ["a", "line 2", "b"]
    sound = '{"id": "a", "text": "x"}\n'.encode("utf-16-le")
    path.write_bytes(sound + b"\x00\xd8" + sound)
    assert outcomes(path, TableLayout("auto", ",", "utf-16-le"))[-1].startswith("line")


@pytest.mark.parametrize("name", ["t.jsonl", "t.csv", "t.parquet"])
def test_memory_does_not_grow_with_the_table(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rows = 8_000
    table = pd.DataFrame({"id": [str(row) for row in range(rows)], "text": [f"{row} " * 40 for row in range(rows)]})
    if name == "t.jsonl":
        table.to_json(path, orient="records", lines=True)
    elif name == "t.csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path, index=False, row_group_size=2000, compression=None)
    size = path.stat().st_size
    tracemalloc.start()
    count = sum(1 for _ in stream_table(path, LAYOUT, ROLES, "--input"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == rows
    assert peak < size / 2
