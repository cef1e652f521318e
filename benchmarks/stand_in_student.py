"""For benchmarks without a trained student: one of random weights, and records of the sample contest.

What it answers is noise; what it costs is what a trained student of that shape costs.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import torch

from polydx.config import Settings
from polydx.contest.readers import ColumnRoles, read_label_list
from polydx.contest.sample import write_sample
from polydx.contest.tables import TableLayout, read_rows
from polydx.deploy.student_card import StudentCard, read_card, write_card
from polydx.distil.student import student_of
from polydx.model.encoders import new_encoder, save_folder
from polydx.model.layers import body_of
from polydx.model.tokenizers import new_tokenizer
from polydx.resolve import load_settings

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "default.yaml"
DISTINCT = 1000
"""Records generated; more are these again under other ids."""


@dataclass(frozen=True)
class Shape:
    """The shape of a stand-in.

    Attributes:
        layers: Transformer layers.
        hidden_size: Width; a multiple of 64, one attention head for each 64.
        max_tokens: Longest sequence.
        vocabulary_size: Most entries of the vocabulary, which is made from the records.
    """

    layers: int
    hidden_size: int
    max_tokens: int
    vocabulary_size: int


def new_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that knows the options which `start` reads: `--model`, `--input` and `--seed`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="A student's folder; else one of random weights.")
    parser.add_argument("--input", type=Path, help="Records for that student, in any format; else generated ones.")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line; a model without records, or records without a model, ends the program."""
    options = parser.parse_args()
    if (options.model is None) != (options.input is None):
        parser.error("--model and --input go together")
    return options


def start(options: argparse.Namespace, shape: Shape, count: int, work: Path) -> tuple[Path, list[str]]:
    """The student's folder and `count` records for it as JSON lines: those asked for, again and again, or stand-ins.

    Args:
        options: From `parse`.
        shape: Of the stand-in.
        count: Records.
        work: An existing folder for the stand-in.
    """
    if options.model is None:
        model = work / "student"
        write_student(model, shape, options.seed)
        cells = list(records(count, options.seed))
    else:
        model = options.model
        card = read_card(model)
        rows = read_rows(options.input, TableLayout("auto", card.separator, card.encoding), "--input")
        cells = [row.cells for row in islice(cycle(rows), count)]
    return model, [json.dumps(record, ensure_ascii=False) for record in cells]


def write_student(folder: Path, shape: Shape, seed: int) -> None:
    """Write a student of random weights for the sample contest's records; its head is wide enough to decide something.

    Args:
        folder: The folder to make.
        shape: Its shape.
        seed: Of the weights and records.
    """
    settings = load_settings(CONFIG)
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as work:
        records, labels = _sample(Path(work), DISTINCT, seed)
    texts = [str(text) for record in records for text in record.values() if isinstance(text, str)]
    tokenizer = new_tokenizer("characters", texts, shape.vocabulary_size)
    encoder = new_encoder(
        "bert",
        vocabulary_size=len(tokenizer),
        layers=shape.layers,
        hidden_size=shape.hidden_size,
        heads=shape.hidden_size // 64,
        intermediate_size=4 * shape.hidden_size,
        max_positions=shape.max_tokens,
        dropout=0.0,
    )
    student = student_of(body_of(encoder), range(shape.layers), labels, 0.0)
    torch.nn.init.normal_(student.classifier.weight)
    tokenizer.model_max_length = shape.max_tokens
    save_folder(folder, student, tokenizer)
    write_card(folder, _card(settings, labels, shape.max_tokens))


def records(count: int, seed: int) -> Iterator[dict[str, object]]:
    """Yield `count` raw records with ids of their own."""
    with tempfile.TemporaryDirectory() as work:
        distinct, _ = _sample(Path(work), min(count, DISTINCT), seed)
    for number, record in enumerate(islice(cycle(distinct), count)):
        yield {**record, "emr_id": f"ZY{number:06d}"}


def _sample(folder: Path, count: int, seed: int) -> tuple[list[dict[str, object]], tuple[str, ...]]:
    write_sample(folder / "sample", 1, 1, count, seed)
    found = json.loads((folder / "sample" / "unlabelled.json").read_text(encoding="utf-8"))
    return found, read_label_list(folder / "sample" / "labels.txt")


def _card(settings: Settings, labels: tuple[str, ...], max_tokens: int) -> StudentCard:
    contest = settings.contest
    return StudentCard(
        labels=labels,
        thresholds=(0.9,) * len(labels),
        min_labels=1,
        max_labels=9,
        max_tokens=max_tokens,
        language=contest.language,
        columns=ColumnRoles(**contest.columns.model_dump()),
        separator=contest.separator,
        encoding=contest.encoding,
        headings=settings.clean.headings,
        placeholders=settings.clean.placeholders,
    )
