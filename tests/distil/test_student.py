"""The student is a stock model: others load and use it without this package."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, pipeline

from polydx.distil.student import is_head, new_student
from polydx.errors import UserError
from polydx.model.encoders import Architecture, load_encoder, new_encoder, save_folder
from polydx.model.tokenizers import new_tokenizer

NAMES = ("flu", "gout", "croup")
TEXT = "fever and a cough"


@pytest.fixture(scope="module", params=["bert", "ernie"])
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    architecture: Architecture = request.param
    folder = tmp_path_factory.mktemp(architecture)
    torch.manual_seed(0)
    tokenizer = new_tokenizer("words", [TEXT] * 3, 40)
    model = new_encoder(
        architecture,
        vocabulary_size=len(tokenizer),
        layers=3,
        hidden_size=16,
        heads=2,
        intermediate_size=32,
        max_positions=32,
        dropout=0.1,
    )
    save_folder(folder, model, tokenizer)
    return folder


def test_loads_as_a_stock_classifier_and_works_in_a_pipeline(encoder: Path, tmp_path: Path) -> None:
    tokenizer = new_tokenizer("words", [TEXT] * 3, 40)
    student = new_student(encoder, [0, 2], NAMES, dropout=0.2)
    save_folder(tmp_path, student, tokenizer)
    loaded, report = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert type(loaded) is type(student)
    assert loaded.config.problem_type == "multi_label_classification"
    assert loaded.config.num_hidden_layers == 2

    (answers,) = pipeline("text-classification", model=str(tmp_path), top_k=None, device="cpu")([TEXT])
    with torch.no_grad():
        encoded = tokenizer(TEXT, return_tensors="pt", return_token_type_ids=False)
        expected = student.train(False)(**encoded).logits.sigmoid()[0].tolist()
    found = {answer["label"]: answer["score"] for answer in answers}
    assert found == pytest.approx(dict(zip(NAMES, expected, strict=True)), abs=1e-6)


def test_keeps_the_chosen_layers_and_the_embeddings(encoder: Path) -> None:
    source = load_encoder(encoder, 0.0).state_dict()
    kept = new_student(encoder, [0, 2], NAMES, 0.0).base_model.state_dict()
    compared = 0
    for key, value in kept.items():
        if not key.startswith("pooler."):
            torch.testing.assert_close(value, source[key.replace("layer.1.", "layer.2.")], rtol=0, atol=0)
            compared += 1
    assert compared == len(source) - 16  # a layer has 16 tensors


def test_the_head_is_what_the_encoder_does_not_bring(encoder: Path) -> None:
    student = new_student(encoder, [1], NAMES, 0.0)
    heads = [name for name, _ in student.named_parameters() if is_head(name)]
    prefix = student.base_model_prefix
    assert heads == [
        f"{prefix}.pooler.dense.weight",
        f"{prefix}.pooler.dense.bias",
        "classifier.weight",
        "classifier.bias",
    ]


def test_layers_that_do_not_exist_are_the_users_fault(encoder: Path) -> None:
    with pytest.raises(UserError, match=r"distil\.layers"):
        new_student(encoder, [1, 3], NAMES, 0.0)
