"""The student is a stock model: others load and use it without this package."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, pipeline

from polydx.distil.student import MEAN_GAIN, is_head, student_of, take_head
from polydx.errors import UserError
from polydx.model.classifier import TextClassifier
from polydx.model.encoders import load_encoder, save_folder
from polydx.model.layers import body_of, trace
from polydx.model.tokenizers import new_tokenizer
from polydx.names import Architecture
from small_models import write_small_encoder

NAMES = ("flu", "gout", "croup")
TEXT = "fever and a cough"


@pytest.fixture(scope="module", params=["bert", "ernie"])
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    architecture: Architecture = request.param
    folder = tmp_path_factory.mktemp(architecture)
    write_small_encoder(folder, new_tokenizer("words", [TEXT] * 3, 40), architecture, layers=3)
    return folder


def test_loads_as_a_stock_classifier_and_works_in_a_pipeline(encoder: Path, tmp_path: Path) -> None:
    tokenizer = new_tokenizer("words", [TEXT] * 3, 40)
    student = student_of(load_encoder(encoder, 0.2), [0, 2], NAMES, dropout=0.2)
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
    kept = student_of(load_encoder(encoder, 0.0), [0, 2], NAMES, 0.0).base_model.state_dict()
    compared = 0
    for key, value in kept.items():
        if not key.startswith("pooler."):
            torch.testing.assert_close(value, source[key.replace("layer.1.", "layer.2.")], rtol=0, atol=0)
            compared += 1
    assert compared == len(source) - 16  # a layer has 16 tensors


def test_the_head_is_what_the_encoder_does_not_bring(encoder: Path) -> None:
    student = student_of(load_encoder(encoder, 0.0), [1], NAMES, 0.0)
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
        student_of(load_encoder(encoder, 0.0), [1, 3], NAMES, 0.0)


def test_a_pooling_layer_starts_as_the_mean_of_the_real_tokens(encoder: Path) -> None:
    student = student_of(load_encoder(encoder, 0.0), [0, 2], NAMES, 0.0, pooling_layer=True).eval()
    assert student.config.num_hidden_layers == 3
    ids, mask = torch.tensor([[2, 5, 6, 3, 0], [2, 5, 6, 7, 3]]), torch.tensor([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]])
    with torch.no_grad():
        _, below, last = trace(body_of(student), ids, mask).layers
        for row, length in enumerate((4, 5)):
            tokens = below.hidden[row, :length]
            mixed = tokens[0] + MEAN_GAIN * tokens.mean(0)
            expected = (mixed - mixed.mean()) / mixed.std(correction=0)
            torch.testing.assert_close(last.hidden[row, 0], expected, rtol=0, atol=1e-5)
            logits = student(input_ids=ids[row : row + 1, :length]).logits
            torch.testing.assert_close(
                logits, student(input_ids=ids[row : row + 1], attention_mask=mask[row : row + 1]).logits
            )


def test_a_student_with_a_pooling_layer_is_a_stock_model_too(encoder: Path, tmp_path: Path) -> None:
    student = student_of(load_encoder(encoder, 0.0), [1], NAMES, 0.0, pooling_layer=True).eval()
    save_folder(tmp_path, student)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    ids = torch.tensor([[2, 5, 6, 3]])
    with torch.no_grad():
        torch.testing.assert_close(loaded(input_ids=ids).logits, student(input_ids=ids).logits)


def test_the_neurons_with_the_largest_weights_stay(encoder: Path) -> None:
    body = load_encoder(encoder, 0.0)
    strong = [[1, 5, 20, 31], [0, 5, 6, 7]]
    with torch.no_grad():
        for number, neurons in zip((0, 2), strong, strict=True):
            dense = body.get_submodule(f"encoder.layer.{number}.intermediate.dense")
            # Strong in what they read times what they write: half of them by either.
            dense.weight[neurons[:2]] *= 100
            body.get_submodule(f"encoder.layer.{number}.output.dense").weight[:, neurons[2:]] *= 100
    share = 4 / body.config.intermediate_size
    student = student_of(body, [0, 2], NAMES, 0.0, pooling_layer=True, kept_neurons=share).eval()
    assert student.config.intermediate_size == 4
    assert body.config.intermediate_size > 4, "the encoder is left as it is"
    for number, neurons in zip((0, 2), strong, strict=True):
        source = body.get_submodule(f"encoder.layer.{number}")
        kept = student.base_model.get_submodule(f"encoder.layer.{number // 2}")
        for name in ("weight", "bias"):
            found = kept.get_submodule("intermediate.dense").get_parameter(name)
            assert torch.equal(found, source.get_submodule("intermediate.dense").get_parameter(name)[neurons])
        written = source.get_submodule("output.dense").get_parameter("weight")[:, neurons]
        assert torch.equal(kept.get_submodule("output.dense").get_parameter("weight"), written)


def test_every_part_of_a_pooling_layer_learns(encoder: Path) -> None:
    student = student_of(load_encoder(encoder, 0.0), [0], NAMES, 0.0, pooling_layer=True)
    for _ in range(2):  # keys learn once queries have left zero
        student(input_ids=torch.tensor([[2, 5, 6, 3]])).logits.square().sum().backward()
        with torch.no_grad():
            for parameter in student.parameters():
                if parameter.grad is not None:
                    parameter -= 0.1 * parameter.grad
    still = {
        name for name, parameter in student.named_parameters() if parameter.grad is None or not parameter.grad.any()
    }
    # A key's bias shifts all scores of a query alike.
    assert all("key.bias" in name or "task_type" in name for name in still), still


def test_a_student_of_all_layers_starts_near_its_teacher(encoder: Path) -> None:
    torch.manual_seed(0)
    teacher = TextClassifier(load_encoder(encoder, 0.0), len(NAMES), "mean", 0.0).eval()
    torch.nn.init.normal_(teacher.head.weight)
    torch.nn.init.normal_(teacher.encoder.get_input_embeddings().weight)
    student = student_of(teacher.encoder, [0, 1, 2], NAMES, 0.0, pooling_layer=True).eval()
    take_head(student, teacher.head)
    ids = torch.randint(5, 8, (40, 12))
    ids[:, 0] = 2
    with torch.no_grad():
        wanted = teacher(ids, torch.ones_like(ids))
        found = student(input_ids=ids).logits
    for label in range(len(NAMES)):
        assert torch.corrcoef(torch.stack([wanted[:, label], found[:, label]]))[0, 1] > 0.7
