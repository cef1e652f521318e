"""A folder loaded for scoring: a bf16 form computes in bf16, and records leave early by the rule that was asked for."""

import json
import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, pipeline

from polydx.artifacts import Floats
from polydx.cli import main
from polydx.deploy.forms import Material, Sizes, SmallerForm, make_form
from polydx.deploy.predict import Wanted, predict
from polydx.deploy.serving import StudentService
from polydx.deploy.student_card import StudentCard, write_card
from polydx.deploy.student_model import in_fp32, load_model, load_student
from polydx.distil.student import student_of
from polydx.errors import UserError
from polydx.model.encoders import save_folder
from polydx.model.exit_rules import KINDS, leave
from polydx.model.exit_running import all_exits
from polydx.model.exit_speeds import SPEEDS_FILE, copy_exits, read_speed
from polydx.model.exits import Exits, load_exits, save_exits
from polydx.model.tokens import encode
from polydx.names import Architecture, ExitRuleName
from polydx.train.classification import predict_probabilities
from small_models import small_encoder

RAW = [
    {"emr_id": "a1", "age": "48", "gender": "男", "complaint": "发热3天。", "history": ""},
    {"emr_id": "a2", "age": "", "gender": "女", "complaint": "咳嗽", "history": "关节疼痛"},
    {"emr_id": "a3", "age": "7", "gender": "", "complaint": "暂无发热", "history": ""},
]
TEXTS = ["男 48岁 主诉:发热3天。", "女 主诉:咳嗽 关节疼痛", "7岁 主诉:暂无发热"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def halved(
    leaving_folder: Path, student_card: StudentCard, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SmallerForm, Path]:
    """The bf16 form as it is judged, and its folder as it ships."""
    work = tmp_path_factory.mktemp("halved")
    student = load_student(leaving_folder)
    material = Material(TEXTS, TEXTS, np.zeros((3, 2), dtype=np.float32), student_card.max_tokens)
    form = make_form("bf16", student.stock_model(), student.tokenizer, material, Sizes(1.0, 1.0, 8), work)
    folder = work / "form"
    form.write(folder)
    write_card(folder, student_card)
    copy_exits(leaving_folder, folder)
    return form, folder


def write_records(folder: Path) -> Path:
    source = folder / "new.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in RAW), encoding="utf-8")
    return source


def probabilities_in(file: Path) -> Floats:
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return np.array([list(line["probabilities"].values()) for line in lines], dtype=np.float32)


def test_a_bf16_form_predicts_and_serves_the_numbers_that_were_judged(
    halved: tuple[SmallerForm, Path], tmp_path: Path
) -> None:
    form, folder = halved
    source, wanted = write_records(tmp_path), Wanted("both", explain=True, skip_bad=False)
    predict(folder, source, tmp_path / "out.jsonl", wanted)
    found = probabilities_in(tmp_path / "out.jsonl")
    tokens = encode(form.tokenizer, TEXTS, 24)
    judged = predict_probabilities(form.score, tokens, np.arange(3), 2, CPU, bf16=False)
    np.testing.assert_allclose(found, judged, atol=6e-7, rtol=0)
    upcast = load_student(folder)
    upcast.stock_model().float()
    fault = predict_probabilities(upcast.score, tokens, np.arange(3), 2, CPU, bf16=False)
    assert np.abs(fault - judged).max() > 1e-5, "the same weights in fp32 would be caught"

    service = StudentService(folder)
    for row, record in enumerate(RAW):
        upload = {"json_line": {"record.json": BytesIO(json.dumps(record).encode())}}
        served = service.probabilities(service.read(upload))
        with torch.inference_mode():
            alone = form.score(*tokens.pad(np.array([row]))).sigmoid()[0].numpy()
        assert served.dtype == np.float32
        np.testing.assert_array_equal(served, alone)


def test_a_bf16_form_is_bf16_here_and_in_the_library(halved: tuple[SmallerForm, Path], leaving_folder: Path) -> None:
    _, folder = halved
    student = load_student(folder)
    assert student.stock_model().dtype == torch.bfloat16
    assert load_student(leaving_folder).stock_model().dtype == torch.float32
    assert student.score(*encode(student.tokenizer, TEXTS, 24).pad(np.arange(3))).dtype == torch.float32
    assert AutoModelForSequenceClassification.from_pretrained(folder).dtype == torch.bfloat16
    (scores, *_) = pipeline("text-classification", model=str(folder), top_k=None, device="cpu")(TEXTS)
    own = predict_probabilities(student.score, encode(student.tokenizer, TEXTS, 24), np.arange(3), 2, CPU, bf16=False)
    by_name = {each["label"]: each["score"] for each in scores}
    np.testing.assert_allclose([by_name[name] for name in student.card.labels], own[0], atol=3e-2)


def test_a_bf16_student_is_copied_into_fp32_for_forms_that_have_no_bf16(halved: tuple[SmallerForm, Path]) -> None:
    model = load_student(halved[1]).stock_model()
    copied = in_fp32(model)
    assert (model.dtype, copied.dtype) == (torch.bfloat16, torch.float32)
    assert torch.equal(copied.classifier.weight, model.classifier.weight.float())


def early_answers(folder: Path, kind: ExitRuleName, speed: float) -> Floats:
    """What each record says at the exit that a rule names, from what all exits say."""
    student = load_student(folder)
    with torch.inference_mode():
        batch = encode(student.tokenizer, TEXTS, 24).pad(np.arange(3))
        said = all_exits(student.stock_model(), load_exits(folder), *batch).sigmoid().transpose(0, 1)
    rule, cuts, _ = read_speed(folder, kind, speed)
    chosen: Floats = said[leave(rule, said, cuts), torch.arange(3)].numpy()
    return chosen


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_records_leave_by_the_rule_asked_for(
    leaving_folder: Path, halved: tuple[SmallerForm, Path], tmp_path: Path, precision: str
) -> None:
    folder = leaving_folder if precision == "fp32" else halved[1]
    tolerance = 2e-6 if precision == "fp32" else 3e-2
    call = ["predict", "--model", str(folder), "--input", str(write_records(tmp_path)), "--give", "probabilities"]
    found: dict[str, Floats] = {}
    for kind in (None, *KINDS):
        target = tmp_path / f"{kind}.jsonl"
        asked = ["--exit-rule", kind] if kind else []
        assert main([*call, "--output", str(target), "--speed", "0.8", *asked]) == 0
        found[kind or "default"] = probabilities_in(target)
        expected = early_answers(folder, kind or "similarity", 0.8)
        np.testing.assert_allclose(found[kind or "default"], expected, atol=tolerance, rtol=0)
    np.testing.assert_array_equal(found["default"], found["similarity"])
    assert np.abs(found["entropy"] - found["similarity"]).max() > 0.01, "entropy needs no second exit to compare with"


def test_an_unknown_rule_is_the_users_fault(leaving_folder: Path, tmp_path: Path) -> None:
    call = ["predict", "--model", str(leaving_folder), "--input", str(write_records(tmp_path))]
    assert main([*call, "--output", str(tmp_path / "out.jsonl"), "--speed", "0.8", "--exit-rule", "mood"]) == 2


@pytest.mark.parametrize("architecture", ["bert", "ernie"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_shipped_is_loaded_to_the_last_weight(
    tmp_path: Path, architecture: Architecture, dtype: torch.dtype
) -> None:
    student = student_of(small_encoder(architecture), [0], ("a", "b"), 0.1, pooling_layer=True).to(dtype)
    save_folder(tmp_path, student)
    # As an older library saved it.
    positions = {f"{architecture}.embeddings.position_ids": torch.arange(16)[None]}
    save_file(load_file(tmp_path / "model.safetensors") | positions, tmp_path / "model.safetensors", {"format": "pt"})
    loaded = load_model(tmp_path)
    assert loaded.dtype == dtype
    weights = student.state_dict()
    assert set(loaded.state_dict()) == set(weights)
    for key, weight in loaded.state_dict().items():
        assert torch.equal(weight, weights[key]), key


QUERY = "bert.encoder.layer.0.attention.self.query.weight"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({QUERY: None}, f"lacks weights of its model: {QUERY}"),
        ({"bert.pooler.dense.bias": None}, r"lacks weights of its model: bert\.pooler\.dense\.bias"),
        ({"classifier.weight": None}, r"lacks weights of its model: classifier\.weight"),
        ({QUERY.replace("0", "9"): torch.zeros(16, 16)}, r"has weights that its configuration doesn't: .*layer\.9\..*"),
        ({"classifier.bias": torch.zeros(3)}, r"of another shape .*: classifier\.bias \(3,\) for \(2,\)"),
        ({QUERY: torch.zeros(8, 8)}, r"of another shape than its configuration: .*\(8, 8\) for \(16, 16\)"),
    ],
)
def test_no_weight_is_left_random_or_unused(
    student_folder: Path, tmp_path: Path, change: dict[str, torch.Tensor | None], problem: str
) -> None:
    folder = shutil.copytree(student_folder, tmp_path / "student")
    weights = load_file(folder / "model.safetensors") | change
    kept = {key: weight for key, weight in weights.items() if weight is not None}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=f"the checkpoint .*{problem}; ship the student again"):
        load_student(folder)


@pytest.mark.parametrize("change", [{"hidden_size": "x"}, {"hidden_act": "no-such"}, {"hidden_size": 0}], ids=str)
def test_a_wrong_configuration_is_the_users_fault(
    student_folder: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    folder = shutil.copytree(student_folder, tmp_path / "student")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(UserError, match=r"student: holds no readable model \(\w+\); ship the student again"):
        load_student(folder)


@pytest.fixture(scope="module")
def onnx_folder(student_folder: Path, student_card: StudentCard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("onnx")
    student = load_student(student_folder)
    material = Material(TEXTS, TEXTS, np.zeros((3, 2), dtype=np.float32), student_card.max_tokens)
    form = make_form("onnx", student.stock_model(), student.tokenizer, material, Sizes(1.0, 1.0, 8), work)
    form.write(work / "form")
    write_card(work / "form", student_card)
    return work / "form"


@pytest.mark.parametrize("form", ["stock", "onnx"])
def test_a_card_that_does_not_fit_its_model_is_the_users_fault(
    student_folder: Path, onnx_folder: Path, student_card: StudentCard, tmp_path: Path, form: str
) -> None:
    folder = shutil.copytree(student_folder if form == "stock" else onnx_folder, tmp_path / "student")
    write_card(folder, replace(student_card, max_tokens=32))
    assert load_student(folder).card.max_tokens == 32
    for wrong, problem in (
        (replace(student_card, max_tokens=33), r"polydx\.json: max_tokens is 33, and the model has 32 positions;"),
        (replace(student_card, max_tokens="24"), r"polydx\.json: max_tokens is '24', and"),  # type: ignore[arg-type]
        (replace(student_card, labels=student_card.labels[::-1]), r"polydx\.json and config\.json differ in labels"),
    ):
        write_card(folder, wrong)
        with pytest.raises(UserError, match=problem):
            load_student(folder)


def test_a_damaged_configuration_of_an_onnx_student_is_the_users_fault(onnx_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(onnx_folder, tmp_path / "student")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": "x"}))
    with pytest.raises(UserError, match=r"config\.json: is no readable configuration \(\w+\); ship the student again"):
        load_student(folder)


@pytest.mark.parametrize("shape", [(8, 2, 3), (16, 3, 3), (16, 2, 4), None])
def test_exits_of_another_student_are_the_users_fault(
    leaving_folder: Path, tmp_path: Path, shape: tuple[int, int, int] | None
) -> None:
    folder = shutil.copytree(leaving_folder, tmp_path / "student")
    if shape is None:
        settings = json.loads((folder / SPEEDS_FILE).read_text())
        (folder / SPEEDS_FILE).write_text(json.dumps(settings | {"cuts": [0.5] * 3}))
    else:
        save_exits(Exits(*shape, 0.0), folder)
    with pytest.raises(UserError, match=r"exits\.safetensors or exits\.json is of another student; ship the student"):
        load_student(folder, 0.8)
