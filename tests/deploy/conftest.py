"""A tiny student with random weights, as `polydx submit` ships one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from polydx.contest.readers import ColumnRoles
from polydx.deploy.student_card import StudentCard, write_card
from polydx.distil.exit_answers import speeds_of
from polydx.distil.student import student_of
from polydx.model.encoders import load_encoder, load_tokenizer, save_folder
from polydx.model.exit_speeds import save_speeds
from polydx.model.exits import Exits, save_exits
from polydx.model.tokenizers import new_tokenizer
from polydx.model.tokens import encode
from small_models import write_small_encoder

CARD = StudentCard(
    labels=("流感", "痛风"),
    thresholds=(0.5, 0.3),
    min_labels=0,
    max_labels=2,
    max_tokens=24,
    language="zh",
    columns=ColumnRoles(
        id="emr_id",
        sections=("complaint", "history"),
        age="age",
        sex="gender",
        numbers=(),
        categories=(),
        labels="diagnosis",
        label_delimiter=None,
    ),
    separator=",",
    encoding="utf-8",
    headings={"complaint": ("主诉",)},
    placeholders=("无",),
)
CLEANED = ("男 48岁 主诉:发热3天。", "女 主诉:咳嗽 关节疼痛", "7岁 主诉:暂无发热")
"""What the student reads of the records in `RAW` of test_predict.py."""


@pytest.fixture(scope="session")
def student_card() -> StudentCard:
    return CARD


@pytest.fixture(scope="session")
def student_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The student's folder; beside it lies `encoder`, the folder it was cut from."""
    root = tmp_path_factory.mktemp("student")
    tokenizer = new_tokenizer("characters", CLEANED * 3, 60)
    write_small_encoder(root / "encoder", tokenizer, layers=2)
    tokenizer.model_max_length = CARD.max_tokens
    save_folder(root / "student", student_of(load_encoder(root / "encoder", 0.1), [0], CARD.labels, 0.1), tokenizer)
    write_card(root / "student", CARD)
    return root / "student"


@pytest.fixture(scope="session")
def leaving_folder(student_folder: Path, student_card: StudentCard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student of three layers with early exits, as `distil.exits` leaves one."""
    torch.manual_seed(0)
    labels, folder = student_card.labels, tmp_path_factory.mktemp("leaving") / "student"
    body = load_encoder(student_folder.parent / "encoder", 0.0)
    student = student_of(body, [0, 1], labels, 0.0, pooling_layer=True).eval()
    exits = Exits(student.config.hidden_size, len(labels), student.config.num_hidden_layers, 0.0).eval()
    for weight in (student.classifier.weight, *(head.weight for head in exits.heads)):
        torch.nn.init.normal_(weight)
    tokenizer = load_tokenizer(student_folder)
    save_folder(folder, student, tokenizer)
    write_card(folder, student_card)
    save_exits(exits, folder)
    tokens, rates = encode(tokenizer, CLEANED, student_card.max_tokens), np.full(len(labels), 0.5)
    save_speeds(speeds_of(student, exits, tokens, np.arange(3), rates, torch.device("cpu")), folder)
    return folder
