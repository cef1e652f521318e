"""Prediction with a shipped student: raw records in, labels out, however many there are.

The table is read twice: once to find malformed records and to count the sound ones, before any work is done, and once
to predict, record by record.
"""

import hashlib
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import transformers

from polydx.artifacts import Floats
from polydx.contest.readers import RawRecord
from polydx.deploy.blocks import BlockWriter, partial_files
from polydx.deploy.explain import explain
from polydx.deploy.outputs import FIX, refuse_below_file, writing
from polydx.deploy.raw_records import is_read_whole, refuse_stream, sound_records, take_survey
from polydx.deploy.student_card import read_card
from polydx.deploy.student_model import EXIT_RULE, ONNX_FILE, LoadedStudent, load_student
from polydx.errors import UserError
from polydx.model.tokens import encode
from polydx.names import ExitRuleName, Give, TableFormat
from polydx.progress import Reporter
from polydx.provenance import code_hash
from polydx.train.classification import predict_probabilities
from polydx.train.device import pick_device

CHUNK = 1024
"""Records predicted between two writes; a killed job loses no more."""
DECIMALS = 6
"""Of a written probability or attribution."""


@dataclass(frozen=True)
class Wanted:
    """What to write of each record.

    Attributes:
        give: Decided labels, all probabilities, or both.
        explain: Whether to write, for each decided label, the words that drove it: parts of the record's text.
        skip_bad: Whether to leave malformed records out instead of refusing the table.
        speed: Share of the work to save by early exits; None runs every layer of any student.
        exit_rule: When a record leaves, at a speed.
        format: How the records are stored; `auto` goes by the file's ending.
    """

    give: Give
    explain: bool
    skip_bad: bool
    speed: float | None = None
    exit_rule: ExitRuleName = EXIT_RULE
    format: TableFormat = "auto"


def predict(folder: Path, source: Path, target: Path, wanted: Wanted) -> None:
    """Label the records of a table and write one JSON object a line, in their order.

    A line holds `id`; `labels`, chosen by the thresholds, in the order of the card; `probabilities` by label; `words`,
    by decided label and word: what is wanted of them. Memory doesn't grow with the table, but for JSON lists and Excel.
    A job that was killed goes on where it was and writes the same bytes as one that wasn't.

    Args:
        folder: The student's folder.
        source: Raw records with the columns that the student was made for, in a regular file.
        target: JSON lines; it appears when all are written. Neither the records nor in the student's folder.
        wanted: What to write.

    Raises:
        UserError: The student or the records can't be read, nothing can be written there, the student has no such
            speed, what is wanted doesn't go together, or records are malformed and not to be skipped or change while
            they are read.
    """
    if wanted.explain and wanted.speed is not None:
        raise UserError("--explain", "tells of the last layer, which --speed leaves out", "give only one of them")
    card = read_card(folder)
    refuse_stream(source)
    with writing(target):
        _check_target(target, source, folder)
    if is_read_whole(source, card, wanted.format):
        print(f"note: {source.suffix} is read whole into memory; JSON lines, CSV and Parquet are not", file=sys.stderr)
    survey = take_survey(source, card, wanted.format)
    if not wanted.skip_bad:
        survey.refuse_faults(source, "mend them, or leave them out with --skip-bad")
    student = load_student(folder, wanted.speed, wanted.exit_rule)
    if wanted.explain:
        student.stock_model()  # An ONNX file has no gradients: better said now than behind the first block.
    if student.early is not None and wanted.speed is not None and student.early.saves < wanted.speed:
        reached = f"{wanted.exit_rule} saved {student.early.saves:.0%} of the work where it was set, not"
        print(f"note: {reached} {wanted.speed:.0%}: no record can leave sooner by it", file=sys.stderr)
    device = torch.device("cpu") if student.model is None else pick_device("auto")
    student.to(device)

    records = sound_records(source, card, wanted.format, skip_bad=wanted.skip_bad)
    with (
        BlockWriter(target, identity(folder, source, wanted, device)) as output,
        Reporter("predict", survey.records, "records") as reporter,
    ):
        if output.discarded:
            print(f"predict: {target} was begun from other input, model or options; starting again", file=sys.stderr)
        written = output.resumed
        reporter.resume_at(written)
        for chunk in _chunks(itertools.islice(records, output.resumed, None)):
            output.write("".join(answer_lines(student, chunk, wanted, device)), len(chunk))
            reporter.step(len(chunk))
            written += len(chunk)
        if written != survey.records:
            problem = f"changed while it was read: {survey.records} records at first, then {written}"
            raise UserError(str(source), problem, "run again once nothing writes to it")
    skipped = f", {survey.malformed} malformed ones skipped: {survey.faults()}" if survey.malformed else ""
    print(f"predict: {survey.records} records in {target}{skipped}", file=sys.stderr)


def _check_target(target: Path, source: Path, folder: Path) -> None:
    """See that the answers can be written where they should, before any work.

    Raises:
        UserError: They can't, or would, finished or not, take the place of the records, or that of a device, or lie
            among what their bytes depend on.
    """
    if target.is_dir():
        raise UserError(str(target), "is a folder", FIX)
    refuse_below_file(target)
    if target.exists() and not target.is_file():
        raise UserError(str(target), "is no regular file", FIX)
    for path in (target, *partial_files(target)):
        if path.exists() and source.exists() and path.samefile(source):
            role = "" if path == target else f", and {target.name} goes there until it is whole"
            raise UserError(str(path), f"holds the records themselves{role}", FIX)
    if target.absolute().parent.resolve() == folder.resolve():
        raise UserError(str(target), "lies in the student's folder", FIX)


def identity(folder: Path, source: Path, wanted: Wanted, device: torch.device) -> str:
    """Hash all that an answer's bytes depend on: records, student, options, code and how the machine computes."""
    digest = hashlib.sha256()
    for file in (source, *sorted(folder.iterdir())):
        if file.is_file():
            with file.open("rb") as data:
                digest.update(hashlib.file_digest(data, "sha256").digest())
    libraries = [torch.__version__, transformers.__version__, version("tokenizers")]
    if (folder / ONNX_FILE).is_file():
        libraries.append(version("onnxruntime"))
    if wanted.explain:
        libraries.append(version("jieba"))
    digest.update(f"{wanted} {device} {torch.get_num_threads()} {libraries} {code_hash(__name__)}".encode())
    return digest.hexdigest()


def answer_lines(
    student: LoadedStudent, records: Sequence[RawRecord], wanted: Wanted, device: torch.device
) -> Iterator[str]:
    """Yield the lines of some records."""
    texts = [student.text(record) for record in records]
    tokens = encode(student.tokenizer, texts, student.card.max_tokens)
    rows, labels = np.arange(len(records)), len(student.card.labels)
    found = predict_probabilities(student.score, tokens, rows, labels, device, bf16=False)
    decided = student.decide(found)
    words = explain(student, texts, decided, device) if wanted.explain else None
    for row, record in enumerate(records):
        line: dict[str, object] = {"id": record.id}
        names = student.names(decided[row])
        if wanted.give != "probabilities":
            line["labels"] = names
        if wanted.give != "labels":
            line["probabilities"] = _by_label(student.card.labels, found[row])
        if words is not None:
            line["words"] = {
                name: {word: round(share, DECIMALS) for word, share in of_label.items()}
                for name, of_label in zip(names, words[row], strict=True)
            }
        yield json.dumps(line, ensure_ascii=False) + "\n"


def _by_label(labels: Sequence[str], probabilities: Floats) -> dict[str, float]:
    return {
        name: round(probability, DECIMALS) for name, probability in zip(labels, probabilities.tolist(), strict=True)
    }


def _chunks(records: Iterator[RawRecord]) -> Iterator[list[RawRecord]]:
    while chunk := list(itertools.islice(records, CHUNK)):
        yield chunk
