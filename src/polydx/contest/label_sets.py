"""Labels by id, as a submission or a truth file has them."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from polydx.contest.files import parse_json, read_text, shown
from polydx.contest.tables import TableLayout, read_rows
from polydx.errors import UserError

CSV_LABELS_HEADER = ("id", "labels")
SETTING = "the call"
"""What names these files, for errors."""
_LINES = TableLayout("jsonl", separator=",", encoding="utf-8")


def read_label_sets(path: Path, label_delimiter: str) -> dict[str, tuple[str, ...]]:
    """Read `{id: [labels]}` from JSON, lines `{"id": …, "labels": […]}`, or a CSV of `id` and `labels`, by the ending.

    Args:
        path: The file, UTF-8.
        label_delimiter: What joins the labels in a CSV.

    Raises:
        UserError: The file can't be read, has another shape, or names an id or a label of it twice.
    """
    if path.suffix.lower() == ".jsonl":
        return _from_lines(path)
    text = read_text(path, "utf-8", SETTING)
    if path.suffix.lower() not in {".json", ".csv"}:
        raise UserError(str(path), "is neither .json, .jsonl nor .csv", "name a submission of labels")
    return parse_label_sets(text, path, label_delimiter)


def parse_label_sets(text: str, path: Path, label_delimiter: str) -> dict[str, tuple[str, ...]]:
    """Return the labels by id that `text`, the content of `path`, holds; see `read_label_sets`."""
    if path.suffix.lower() == ".json":
        return label_sets_from_json(text, path)
    return _from_csv(text, path, label_delimiter)


def label_sets_from_json(text: str, path: Path) -> dict[str, tuple[str, ...]]:
    """Return the labels by id that a JSON object holds.

    Raises:
        UserError: It is no such object.
    """
    sets = parse_json(text, str(path))
    if not isinstance(sets, dict):
        raise UserError(str(path), f"holds {shown(sets)}, not an object", 'write {"id": ["label", …], …}')
    return _checked(sets, path)


def _checked(sets: Mapping[str, object], path: Path) -> dict[str, tuple[str, ...]]:
    checked: dict[str, tuple[str, ...]] = {}
    for id_, labels in sets.items():
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise UserError(f"{path}, id {shown(id_)}", "its labels are no list of texts", 'write ["label", …]')
        checked[id_] = _distinct(labels, f"{path}, id {shown(id_)}")
    return checked


def _from_lines(path: Path) -> dict[str, tuple[str, ...]]:
    sets: dict[str, object] = {}
    for row in read_rows(path, _LINES, SETTING):
        if not {"id", "labels"} <= row.cells.keys():
            raise UserError(row.place, "has no id and labels", 'write {"id": …, "labels": […]}')
        id_ = str(row.cells["id"])
        if id_ in sets:
            raise UserError(row.place, f"the id {shown(id_)} stands here again", "keep one")
        sets[id_] = row.cells["labels"]
    return _checked(sets, path)


def _from_csv(text: str, path: Path, delimiter: str) -> dict[str, tuple[str, ...]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    sets: dict[str, tuple[str, ...]] = {}
    try:
        header = next(reader)
        if tuple(header) != CSV_LABELS_HEADER:
            raise UserError(f"{path}, line 1", "the columns aren't id,labels", "name a CSV of labels")
        for cells in reader:
            place = f"{path}, line {reader.line_num}"
            if len(cells) != len(CSV_LABELS_HEADER):
                raise UserError(place, f"has {len(cells)} cells, not 2", "write the id and its joined labels")
            id_, labels = cells
            if id_ in sets:
                raise UserError(place, f"the id {shown(id_)} stands here again", "keep one")
            sets[id_] = _distinct(labels.split(delimiter) if labels else [], place)
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}", f"broken CSV ({error})", "mend the quotes there") from None
    return sets


def _distinct(labels: list[str], place: str) -> tuple[str, ...]:
    for label in labels:
        if labels.count(label) > 1:
            raise UserError(place, f"the label {shown(label)} stands there twice", "keep one")
    return tuple(labels)
