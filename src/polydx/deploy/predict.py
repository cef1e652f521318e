"""Prediction with a shipped student: raw records in, labels out.

The folder holds all that is needed: a stock model of the library, its tokenizer, and `polydx.json` with the labels,
their thresholds, and how a raw record becomes the text that the model reads.
"""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertForSequenceClassification,
    ErnieForSequenceClassification,
)

from polydx.artifacts import Floats, replacing
from polydx.contest.readers import RawRecord, read_table
from polydx.contest.tables import TableLayout
from polydx.deploy.student_card import STUDENT_FILE, StudentCard, read_card
from polydx.distil.student import Student
from polydx.distil.training import score
from polydx.ensemble.thresholds import decide
from polydx.errors import UserError
from polydx.model.checkpoints import quietly
from polydx.model.encoders import load_tokenizer
from polydx.model.tokens import encode
from polydx.progress import Reporter
from polydx.text.cleaner import RecordCleaner
from polydx.train.classification import predict_probabilities
from polydx.train.device import pick_device

CHUNK = 1024
"""Records predicted between two writes."""
DECIMALS = 6
"""Of a written probability."""


def predict(folder: Path, source: Path, target: Path, probabilities: bool) -> None:
    """Label the records of a table and write one JSON object a line, in their order.

    A line holds `id`, `labels` (chosen by the thresholds, in the order of the card) and, if asked for, `probabilities`
    by label.

    Args:
        folder: The student's folder.
        source: Raw records with the columns that the student was made for; the format goes by the file's ending.
        target: JSON lines; it appears when all are written.
        probabilities: Whether to write them too.

    Raises:
        UserError: The student or the records can't be read.
    """
    card = read_card(folder)
    layout = TableLayout("auto", card.separator, card.encoding)
    records = read_table(source, layout, card.columns, with_labels=False, setting="--input")
    model = _load(folder, card)
    tokenizer = load_tokenizer(folder)
    device = pick_device("auto")
    module: torch.nn.Module = model
    module.to(device)
    score_batch = partial(score, model)
    cleaner = RecordCleaner(card.columns.sections, card.headings, card.placeholders, card.language)

    with (
        replacing(target) as temporary,
        temporary.open("w", encoding="utf-8") as lines,
        Reporter("predict", len(records), "records") as reporter,
    ):
        for chunk in _chunks(records):
            texts = [cleaner.clean(each.sections, each.age, each.sex, each.categories).text for each in chunk]
            tokens = encode(tokenizer, texts, card.max_tokens)
            rows = np.arange(len(chunk))
            found = predict_probabilities(score_batch, tokens, rows, len(card.labels), device, bf16=False)
            _write(lines, chunk, found, card, probabilities)
            reporter.step(len(chunk))


def _load(folder: Path, card: StudentCard) -> Student:
    try:
        with quietly():
            loaded: object = AutoModelForSequenceClassification.from_pretrained(
                str(folder), trust_remote_code=False, dtype=torch.float32
            )
    except (OSError, ValueError) as error:
        problem = f"holds no readable model ({type(error).__name__})"
        raise UserError(str(folder), problem, "ship the student again (polydx submit)") from error
    if not isinstance(loaded, BertForSequenceClassification | ErnieForSequenceClassification):
        raise UserError(str(folder), f"holds a {type(loaded).__name__}", "name the folder of a student")
    if loaded.config.id2label != dict(enumerate(card.labels)):
        raise UserError(str(folder), f"{STUDENT_FILE} and config.json differ in labels", "ship the student again")
    return loaded


def _chunks(records: Sequence[RawRecord]) -> Iterator[Sequence[RawRecord]]:
    for start in range(0, len(records), CHUNK):
        yield records[start : start + CHUNK]


def _write(lines: TextIO, records: Sequence[RawRecord], found: Floats, card: StudentCard, probabilities: bool) -> None:
    decided = decide(found, np.array(card.thresholds), card.min_labels, card.max_labels)
    for record, row, chosen in zip(records, found, decided, strict=True):
        line: dict[str, object] = {
            "id": record.id,
            "labels": [name for name, present in zip(card.labels, chosen, strict=True) if present],
        }
        if probabilities:
            rounded = (round(float(probability), DECIMALS) for probability in row)
            line["probabilities"] = dict(zip(card.labels, rounded, strict=True))
        lines.write(json.dumps(line, ensure_ascii=False) + "\n")
