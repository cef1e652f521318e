"""Prediction with a shipped student, against the library's own pipeline."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from transformers import pipeline

from polydx.contest.readers import ColumnRoles
from polydx.deploy.predict import predict
from polydx.deploy.student_card import STUDENT_FILE, StudentCard, read_card, write_card
from polydx.distil.student import new_student
from polydx.errors import UserError
from polydx.model.encoders import new_encoder, save_folder
from polydx.model.tokenizers import new_tokenizer

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
RAW = [
    {"emr_id": "a1", "age": "Y48", "gender": "男", "complaint": "主诉：发热３天。", "history": "无"},
    {"emr_id": "a2", "age": "", "gender": "女性", "complaint": "咳嗽", "history": "关节疼痛"},
    {"emr_id": "a3", "age": "7", "gender": "", "complaint": "暂无发热", "history": ""},
]
CLEANED = ["男 48岁 主诉:发热3天。", "女 主诉:咳嗽 关节疼痛", "7岁 主诉:暂无发热"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("student")
    torch.manual_seed(0)
    tokenizer = new_tokenizer("characters", CLEANED * 3, 60)
    encoder = new_encoder(
        "bert",
        vocabulary_size=len(tokenizer),
        layers=2,
        hidden_size=16,
        heads=2,
        intermediate_size=32,
        max_positions=32,
        dropout=0.1,
    )
    save_folder(root / "encoder", encoder, tokenizer)
    save_folder(root / "student", new_student(root / "encoder", [0], CARD.labels, 0.1), tokenizer)
    write_card(root / "student", CARD)
    return root / "student"


def write_jsonl(target: Path) -> Path:
    target.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RAW), encoding="utf-8")
    return target


def answers(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_labels_and_probabilities_are_those_of_the_librarys_pipeline(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "answers.jsonl"
    predict(folder, write_jsonl(tmp_path / "new.jsonl"), target, probabilities=True)
    classify = pipeline("text-classification", model=str(folder), top_k=None, device="cpu")
    found = answers(target)
    assert [line["id"] for line in found] == ["a1", "a2", "a3"]
    for line, scores in zip(found, classify(CLEANED), strict=True):
        expected = {each["label"]: each["score"] for each in scores}
        assert line["probabilities"] == pytest.approx(expected, abs=2e-6)
        assert line["labels"] == [
            name for name, threshold in zip(CARD.labels, CARD.thresholds, strict=True) if expected[name] >= threshold
        ]


def test_formats_give_the_same_answers_without_probabilities(folder: Path, tmp_path: Path) -> None:
    columns = list(RAW[0])
    csv = tmp_path / "new.csv"
    csv.write_text(
        "\n".join([",".join(columns), *(",".join(record[column] for column in columns) for record in RAW)]),
        encoding="utf-8",
    )
    predict(folder, csv, tmp_path / "from_csv.jsonl", probabilities=False)
    predict(folder, write_jsonl(tmp_path / "new.jsonl"), tmp_path / "from_jsonl.jsonl", probabilities=False)
    assert (tmp_path / "from_csv.jsonl").read_bytes() == (tmp_path / "from_jsonl.jsonl").read_bytes()
    assert all(set(line) == {"id", "labels"} for line in answers(tmp_path / "from_csv.jsonl"))


def test_the_card_survives_writing_and_reading(folder: Path) -> None:
    assert read_card(folder) == CARD


def test_a_folder_without_a_card_is_the_users_fault(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=STUDENT_FILE):
        predict(folder.parent / "encoder", write_jsonl(tmp_path / "new.jsonl"), tmp_path / "out.jsonl", False)


def test_an_incomplete_card_is_the_users_fault(tmp_path: Path) -> None:
    (tmp_path / STUDENT_FILE).write_text('{"labels": ["a"]}', encoding="utf-8")
    with pytest.raises(UserError, match="isn't complete"):
        read_card(tmp_path)


def test_a_card_of_another_model_is_the_users_fault(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    write_card(other, dataclasses.replace(CARD, labels=("痛风", "流感")))
    with pytest.raises(UserError, match="differ in labels"):
        predict(other, write_jsonl(tmp_path / "new.jsonl"), tmp_path / "out.jsonl", False)


def test_a_malformed_record_leaves_no_output(folder: Path, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "new.jsonl")
    source.write_text(source.read_text(encoding="utf-8") + "{broken\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 4"):
        predict(folder, source, tmp_path / "out" / "answers.jsonl", False)
    assert not (tmp_path / "out").exists()
