"""Each form of a student: scored as its folder scores once written, and near the student."""

from pathlib import Path

import numpy as np
import pytest
import torch

from polydx.deploy.forms import Material, Sizes, make_form
from polydx.deploy.package import package
from polydx.deploy.predict import Wanted, predict
from polydx.deploy.student_card import StudentCard, write_card
from polydx.deploy.student_model import ONNX_FILE, LoadedStudent, load_student
from polydx.errors import UserError
from polydx.names import FormName

TEXTS = ["男 48岁 主诉:发热3天。", "女 主诉:咳嗽 关节疼痛", "7岁 主诉:暂无发热"]
SIZES = Sizes(neurons=0.5, heads=0.5, rank=8)


@pytest.fixture(scope="module")
def student(student_folder: Path) -> LoadedStudent:
    return load_student(student_folder)


@pytest.fixture
def material(student: LoadedStudent) -> Material:
    targets = np.array([[1, 0], [0, 1], [0, 0]], dtype=np.float32)
    return Material(TEXTS, TEXTS, targets, student.card.max_tokens)


@pytest.mark.parametrize("name", ["bf16", "vocabulary", "neurons", "int8-static"])
def test_a_written_form_scores_as_it_did(
    student: LoadedStudent, student_card: StudentCard, material: Material, tmp_path: Path, name: FormName
) -> None:
    (tmp_path / "work").mkdir()
    form = make_form(name, student.stock_model(), student.tokenizer, material, SIZES, tmp_path / "work")
    folder = tmp_path / "form"
    form.write(folder)
    write_card(folder, student_card)
    loaded = load_student(folder)
    assert (folder / ONNX_FILE).exists() == (name == "int8-static") == (loaded.model is None)
    batch = form.tokenizer(TEXTS, return_tensors="pt", padding=True)
    with torch.no_grad():
        found = form.score(batch["input_ids"], batch["attention_mask"])
        again = loaded.score(batch["input_ids"], batch["attention_mask"])
        whole = student.tokenizer(TEXTS, return_tensors="pt", padding=True)
        expected = student.score(whole["input_ids"], whole["attention_mask"])
    torch.testing.assert_close(again, found, atol=1e-6, rtol=0)
    torch.testing.assert_close(found, expected, atol=5e-3, rtol=0)
    if name == "int8-static":
        onnx_folder_predicts_but_does_not_explain(folder, tmp_path)
        a_damaged_onnx_folder_is_the_users_fault(folder)


def onnx_folder_predicts_but_does_not_explain(folder: Path, work: Path) -> None:
    source, target = work / "new.jsonl", work / "out.jsonl"
    source.write_text(
        '{"emr_id": "a", "age": "7", "gender": null, "complaint": "暂无发热", "history": null}', encoding="utf-8"
    )
    predict(folder, source, target, Wanted("both", explain=False, skip_bad=False))
    assert target.exists()
    with pytest.raises(UserError, match="nothing else"):
        predict(folder, source, work / "words.jsonl", Wanted("labels", explain=True, skip_bad=False))
    assert not [path for path in work.iterdir() if "words" in path.name]
    with pytest.raises(UserError, match="nothing else"):
        load_student(folder).stock_model()
    package(folder, work / "package")
    assert "onnxruntime" in (work / "package" / "model" / "config.json").read_text(encoding="utf-8")


def a_damaged_onnx_folder_is_the_users_fault(folder: Path) -> None:
    whole = (folder / ONNX_FILE).read_bytes()
    for content in (b"not really", whole[: len(whole) // 2]):
        (folder / ONNX_FILE).write_bytes(content)
        with pytest.raises(UserError, match=r"model\.onnx: is no readable ONNX file \(InvalidProtobuf\); make"):
            load_student(folder)
    (folder / ONNX_FILE).write_bytes(whole)
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match=r"config\.json: is absent"):
        load_student(folder)
