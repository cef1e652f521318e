"""For benchmarks without a trained student: one of random weights, and records of the sample contest.

What it answers is noise; what it costs is what a trained student of that shape costs.
"""

import json
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import torch

from polydx.config import Settings
from polydx.contest.readers import ColumnRoles, read_label_list
from polydx.contest.sample import write_sample
from polydx.deploy.student_card import StudentCard, write_card
from polydx.distil.student import new_student
from polydx.model.encoders import new_encoder, save_folder
from polydx.model.tokenizers import new_tokenizer
from polydx.resolve import load_settings

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "default.yaml"
DISTINCT = 1000
"""Records generated; more are these again under other ids."""


def write_student(
    folder: Path, *, layers: int, hidden_size: int, max_tokens: int, vocabulary_size: int, seed: int
) -> None:
    """Write a student of random weights for the sample contest's records; its head is wide enough to decide something.

    Args:
        folder: The folder to make.
        layers: Transformer layers.
        hidden_size: Width; a multiple of 64, one attention head for each 64.
        max_tokens: Longest sequence.
        vocabulary_size: Most entries of the vocabulary, which is made from the records.
        seed: Of the weights and records.
    """
    settings = load_settings(CONFIG)
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as work:
        records, labels = _sample(Path(work), DISTINCT, seed)
        texts = [str(text) for record in records for text in record.values() if isinstance(text, str)]
        tokenizer = new_tokenizer("characters", texts, vocabulary_size)
        encoder = new_encoder(
            "bert",
            vocabulary_size=len(tokenizer),
            layers=layers,
            hidden_size=hidden_size,
            heads=hidden_size // 64,
            intermediate_size=4 * hidden_size,
            max_positions=max_tokens,
            dropout=0.0,
        )
        save_folder(Path(work) / "encoder", encoder, tokenizer)
        student = new_student(Path(work) / "encoder", range(layers), labels, 0.0)
    torch.nn.init.normal_(student.classifier.weight)
    tokenizer.model_max_length = max_tokens
    save_folder(folder, student, tokenizer)
    write_card(folder, _card(settings, labels, max_tokens))


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
