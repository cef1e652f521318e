"""A tiny student with random weights, as `polydx submit` ships one."""

from pathlib import Path

import pytest

from polydx.contest.readers import ColumnRoles
from polydx.deploy.student_card import StudentCard, write_card
from polydx.distil.student import new_student
from polydx.model.encoders import save_folder
from polydx.model.tokenizers import new_tokenizer
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
    save_folder(root / "student", new_student(root / "encoder", [0], CARD.labels, 0.1), tokenizer)
    write_card(root / "student", CARD)
    return root / "student"
