"""Submissions: written, read back and compared with what was meant before they get their name."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats, are_probabilities, replacing
from polydx.contest.files import shown
from polydx.contest.label_sets import CSV_LABELS_HEADER, parse_label_sets
from polydx.errors import UserError
from polydx.names import SubmissionFormat

SUFFIXES: dict[SubmissionFormat, str] = {"json_labels": ".json", "csv_labels": ".csv", "csv_probabilities": ".csv"}
DECIMALS = 6
"""Of a written probability."""


def write_submission(
    target: Path,
    format_: SubmissionFormat,
    ids: Sequence[str],
    label_names: Sequence[str],
    decisions: npt.NDArray[np.bool_],
    probabilities: Floats,
    label_delimiter: str,
) -> None:
    """Write one submission.

    Args:
        target: The file; its ending is that of `SUFFIXES`.
        format_: `{id: [labels]}`; a CSV of `id` and joined `labels`; or a CSV of `id` and one probability a label.
        ids: Test ids, in order.
        label_names: The official labels, in the order of the columns below.
        decisions: `[ids, labels]`, bool.
        probabilities: `[ids, labels]`, float32, in [0, 1].
        label_delimiter: What joins the labels in `csv_labels`.

    Raises:
        UserError: The delimiter is empty, breaks the line, stands in a label, or can't be told from the labels that
            it joins.
        ValueError: The arrays don't fit the ids and labels, an id stands twice, or a probability is none.
        RuntimeError: The file read back isn't what was meant.
    """
    _check_arrays(ids, label_names, decisions, probabilities)
    if format_ == "csv_probabilities":
        with replacing(target) as temporary:
            _write_probabilities(temporary, _probability_rows(ids, label_names, probabilities))
            _validate_probabilities(temporary, target, ids, label_names, probabilities)
        return
    sets = {
        id_: [name for name, chosen in zip(label_names, row, strict=True) if chosen]
        for id_, row in zip(ids, decisions, strict=True)
    }
    if format_ == "csv_labels":
        _check_delimiter(label_names, sets, label_delimiter)
    text = _json(sets) if format_ == "json_labels" else _label_rows(sets, label_delimiter)
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
        written = temporary.read_bytes().decode("utf-8")
        _validate_labels(written, target, ids, label_names, decisions, label_delimiter)


def _check_arrays(
    ids: Sequence[str], label_names: Sequence[str], decisions: npt.NDArray[np.bool_], probabilities: Floats
) -> None:
    shape = (len(ids), len(label_names))
    if decisions.shape != shape or probabilities.shape != shape or decisions.dtype != np.bool_:
        raise ValueError(
            f"decisions {decisions.shape} {decisions.dtype}, probabilities {probabilities.shape} for {shape}"
        )
    if len(set(ids)) != len(ids) or len(set(label_names)) != len(label_names):
        raise ValueError("an id or a label stands twice")
    if not are_probabilities(probabilities):
        raise ValueError("a probability is NaN or outside [0, 1]")


def _check_delimiter(label_names: Sequence[str], sets: Mapping[str, list[str]], delimiter: str) -> None:
    problem = _delimiter_problem(label_names, sets, delimiter)
    if problem is not None:
        fix = "choose a delimiter of characters that no label holds"
        raise UserError("submit.label_delimiter", f"{delimiter!r} {problem}", fix)


def _delimiter_problem(label_names: Sequence[str], sets: Mapping[str, list[str]], delimiter: str) -> str | None:
    if not delimiter or "\r" in delimiter or "\n" in delimiter:
        return "is empty or breaks the line"
    for name in label_names:
        if delimiter in name:
            return f"stands in the label {shown(name)}"
    for id_, labels in sets.items():
        # Between "a;" and "b", ";;" is found a character too early.
        if labels and delimiter.join(labels).split(delimiter) != labels:
            return f"can't be told from the labels that it joins in the record {shown(id_)}"
    return None


def _json(sets: dict[str, list[str]]) -> str:
    return json.dumps(sets, ensure_ascii=False, indent=1) + "\n"


def _label_rows(sets: dict[str, list[str]], delimiter: str) -> str:
    return _csv([CSV_LABELS_HEADER, *((id_, delimiter.join(labels)) for id_, labels in sets.items())])


def _probability_rows(ids: Sequence[str], label_names: Sequence[str], probabilities: Floats) -> Iterator[Sequence[str]]:
    yield "id", *label_names
    for id_, row in zip(ids, probabilities, strict=True):
        yield id_, *(f"{value:.{DECIMALS}f}" for value in row.tolist())


def _write_probabilities(file: Path, rows: Iterator[Sequence[str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened, lineterminator="\n").writerows(rows)


def _csv(rows: Sequence[Sequence[str]]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def _validate_labels(
    text: str,
    target: Path,
    ids: Sequence[str],
    label_names: Sequence[str],
    decisions: npt.NDArray[np.bool_],
    delimiter: str,
) -> None:
    sets = parse_label_sets(text, target, delimiter)
    column = {name: index for index, name in enumerate(label_names)}
    if list(sets) != list(ids):
        raise RuntimeError(f"{target}: the ids read back aren't the test ids")
    read_back = np.zeros_like(decisions)
    for row, labels in enumerate(sets.values()):
        if not set(labels) <= column.keys():
            raise RuntimeError(f"{target}: a label read back is not official")
        read_back[row, [column[label] for label in labels]] = True
    if not np.array_equal(read_back, decisions):
        raise RuntimeError(f"{target}: the labels read back aren't the decisions")


def _validate_probabilities(
    file: Path, target: Path, ids: Sequence[str], label_names: Sequence[str], probabilities: Floats
) -> None:
    with file.open(encoding="utf-8", newline="") as opened:
        rows = csv.reader(opened, strict=True)
        if next(rows, None) != ["id", *label_names]:
            raise RuntimeError(f"{target}: the labels read back aren't the official ones")
        for row, id_, meant in zip_longest(rows, ids, probabilities):
            if row is None or row[:1] != [id_]:
                raise RuntimeError(f"{target}: the ids read back aren't the test's")
            read_back = np.array([float(value) for value in row[1:]])
            # Not by what is larger: a comparison with NaN is false.
            if read_back.shape != meant.shape or not np.abs(read_back - meant).max(initial=0.0) <= 10.0**-DECIMALS:
                raise RuntimeError(f"{target}: the probabilities read back aren't those written")
