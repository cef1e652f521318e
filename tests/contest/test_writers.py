"""Submissions: what is written is read back; a fault planted between is caught and leaves nothing."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polydx.contest import writers
from polydx.contest.label_sets import read_label_sets
from polydx.contest.writers import SUFFIXES, write_submission
from polydx.errors import UserError

IDS = ("ZY1", 'Z"Y,2', "ZY3")
LABELS = ("肺炎", 'a,"b"', "腹泻")
DECISIONS = np.array([[True, False, True], [False, False, False], [False, True, False]])
PROBABILITIES = np.array([[0.9, 0.1, 1.0], [0.0, 1e-7, 0.3333333], [0.25, 0.5, 0.125]], dtype=np.float32)
EXPECTED = {"ZY1": ("肺炎", "腹泻"), 'Z"Y,2': (), "ZY3": ('a,"b"',)}


@pytest.mark.parametrize("format_", ["json_labels", "csv_labels"])
def test_labels_read_back(tmp_path: Path, format_: str) -> None:
    target = tmp_path / f"submission{SUFFIXES[format_]}"  # type: ignore[index]
    write_submission(target, format_, IDS, LABELS, DECISIONS, PROBABILITIES, "|")  # type: ignore[arg-type]
    assert read_label_sets(target, "|") == EXPECTED
    assert [file.name for file in tmp_path.iterdir()] == [target.name]


def test_json_is_the_contests_form(tmp_path: Path) -> None:
    write_submission(tmp_path / "s.json", "json_labels", IDS[:1], LABELS, DECISIONS[:1], PROBABILITIES[:1], "|")
    assert json.loads((tmp_path / "s.json").read_text(encoding="utf-8")) == {"ZY1": ["肺炎", "腹泻"]}


def test_probabilities(tmp_path: Path) -> None:
    target = tmp_path / "s.csv"
    write_submission(target, "csv_probabilities", ("1", "2"), ("a", "b"), DECISIONS[:2, :2], PROBABILITIES[:2, :2], "|")
    assert target.read_text(encoding="utf-8") == "id,a,b\n1,0.900000,0.100000\n2,0.000000,0.000000\n"


@settings(max_examples=50)
@given(st.data())
def test_any_ids_and_labels_survive(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    printable = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=5)
    ids = data.draw(st.lists(printable, unique=True, min_size=1, max_size=4))
    labels = data.draw(st.lists(printable.filter(lambda name: "|" not in name), unique=True, min_size=1, max_size=4))
    draw = np.random.default_rng(data.draw(st.integers(0, 99)))
    probabilities = draw.random((len(ids), len(labels)), dtype=np.float32)
    expected = [tuple(np.array(labels)[row].tolist()) for row in probabilities > 0.5]
    folder = tmp_path_factory.mktemp("any")
    for format_, suffix in SUFFIXES.items():
        target = folder / f"{format_}{suffix}"
        write_submission(target, format_, ids, labels, probabilities > 0.5, probabilities, "|")
        if format_ != "csv_probabilities":
            assert list(read_label_sets(target, "|").items()) == list(zip(ids, expected, strict=True))


def test_a_table_of_probabilities_takes_no_memory_of_its_size(tmp_path: Path) -> None:
    rows, labels = 1000, 100
    probabilities = np.random.default_rng(0).random((rows, labels), dtype=np.float32)
    ids, names = [f"r{row}" for row in range(rows)], [f"l{label}" for label in range(labels)]
    tracemalloc.start()
    write_submission(tmp_path / "s.csv", "csv_probabilities", ids, names, probabilities > 0.5, probabilities, "|")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The decisions, one byte a cell, are an argument; a text of all cells would have nine bytes each.
    assert peak < 4 * probabilities.size
    assert len((tmp_path / "s.csv").read_text(encoding="utf-8").splitlines()) == rows + 1


@pytest.mark.parametrize(
    ("labels", "delimiter", "problem"),
    [
        (LABELS, ",", "',' stands in the label"),
        (("a;", "b", "c"), ";;", "';;' can't be told from the labels that it joins in the record 'ZY1'"),
        (LABELS, "\r", r"'\\r' is empty or breaks the line"),
        (LABELS, "\n", r"'\\n' is empty or breaks the line"),
        (LABELS, "", "'' is empty or breaks the line"),
    ],
)
def test_a_delimiter_that_does_not_part_labels_is_refused(
    tmp_path: Path, labels: tuple[str, ...], delimiter: str, problem: str
) -> None:
    with pytest.raises(UserError, match=f"submit.label_delimiter: {problem}"):
        write_submission(tmp_path / "s.csv", "csv_labels", IDS, labels, DECISIONS, PROBABILITIES, delimiter)
    assert not list(tmp_path.iterdir())


def test_a_delimiter_that_shares_characters_with_labels_may_part_them_all_the_same(tmp_path: Path) -> None:
    write_submission(tmp_path / "s.csv", "csv_labels", IDS, ("a", "b;", ";c"), DECISIONS, PROBABILITIES, ";;")
    assert read_label_sets(tmp_path / "s.csv", ";;") == {"ZY1": ("a", ";c"), 'Z"Y,2': (), "ZY3": ("b;",)}


def plant_in_rows(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    """Write the table of probabilities with a fault in its cells."""
    honest = writers._probability_rows
    monkeypatch.setattr(
        writers,
        "_probability_rows",
        lambda *arguments: ([cell.replace(old, new) for cell in row] for row in honest(*arguments)),
    )


@pytest.mark.parametrize("format_", ["json_labels", "csv_labels", "csv_probabilities"])
@pytest.mark.parametrize(("old", "new"), [("ZY3", "ZY4"), ("肺炎", "肺结核")])
def test_a_file_that_says_something_else_gets_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: str, old: str, new: str
) -> None:
    for name in ("_json", "_label_rows"):
        honest = getattr(writers, name)
        monkeypatch.setattr(writers, name, lambda *arguments, honest=honest: honest(*arguments).replace(old, new))
    plant_in_rows(monkeypatch, old, new)
    target = tmp_path / f"s{SUFFIXES[format_]}"  # type: ignore[index]
    with pytest.raises(RuntimeError, match="read back"):
        write_submission(target, format_, IDS, LABELS, DECISIONS, PROBABILITIES, "|")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("new", ["0.26", "nan"])
def test_a_changed_figure_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new: str) -> None:
    plant_in_rows(monkeypatch, "0.250000", new)
    with pytest.raises(RuntimeError, match="probabilities read back"):
        write_submission(tmp_path / "s.csv", "csv_probabilities", IDS, LABELS, DECISIONS, PROBABILITIES, "|")


@pytest.mark.parametrize(
    ("kept", "problem"), [(slice(0, 3), "ids"), (slice(1, None), "labels"), (slice(0, 0), "labels")]
)
def test_a_lost_row_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: slice, problem: str) -> None:
    honest = writers._probability_rows
    monkeypatch.setattr(writers, "_probability_rows", lambda *arguments: list(honest(*arguments))[kept])
    with pytest.raises(RuntimeError, match=f"the {problem} read back"):
        write_submission(tmp_path / "s.csv", "csv_probabilities", IDS, LABELS, DECISIONS, PROBABILITIES, "|")
    assert not list(tmp_path.iterdir())


def test_arrays_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    def write(ids: tuple[str, ...], decisions: object, probabilities: object) -> None:
        write_submission(tmp_path / "s.json", "json_labels", ids, LABELS, decisions, probabilities, "|")  # type: ignore[arg-type]

    broken = PROBABILITIES.copy()
    broken[1, 1] = np.nan
    for ids, decisions, probabilities in [
        (IDS[:2], DECISIONS, PROBABILITIES),
        (IDS, DECISIONS[:, :2], PROBABILITIES),
        (IDS, DECISIONS.astype(float), PROBABILITIES),
        (("ZY1", "ZY1", "ZY2"), DECISIONS, PROBABILITIES),
        (IDS, DECISIONS, broken),
        (IDS, DECISIONS, PROBABILITIES + 1),
    ]:
        with pytest.raises(ValueError, match=r"decisions|twice|probability"):
            write(ids, decisions, probabilities)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("s.json", "[]", "not an object"),
        ("s.json", '{"1": "a"}', "id '1': its labels are no list of texts"),
        ("s.json", '{"1": ["a"], "1": []}', "the key '1' stands twice"),
        ("s.json", '{"1": ["a", "a"]}', "the label 'a' stands there twice"),
        ("s.json", '{"1": [', "line 1, column"),
        ("s.csv", "key,labels\n", "line 1: the columns aren't id,labels"),
        ("s.csv", "id,labels\n1,a\n1,b\n", "line 3: the id '1' stands here again"),
        ("s.csv", "id,labels\n1,a,b\n", "line 2: has 3 cells"),
        ("s.csv", 'id,labels\n1,"a\n', "broken CSV"),
        ("s.txt", "1", "neither .json, .jsonl nor .csv"),
        ("s.jsonl", '{"id": "1"}', "line 1: has no id and labels"),
        ("s.jsonl", '{"id": "1", "labels": ["a"]}\n{"id": "1", "labels": []}', "line 2: the id '1' stands here again"),
        ("s.jsonl", '{"id": "1", "labels": "a"}', "its labels are no list of texts"),
        ("s.csv", "", "is empty"),
    ],
)
def test_malformed_submissions_are_named(tmp_path: Path, name: str, content: str, problem: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=problem):
        read_label_sets(tmp_path / name, "|")


def test_lines_of_a_prediction_end_where_json_lines_do(tmp_path: Path) -> None:
    """A line separator inside a label's name is no end of a line."""
    target = tmp_path / "labels.jsonl"
    target.write_text('{"id": "1", "labels": ["a\u2028b"]}\n{"id": "2", "labels": []}\n', encoding="utf-8")
    assert read_label_sets(target, "|") == {"1": ("a\u2028b",), "2": ()}
