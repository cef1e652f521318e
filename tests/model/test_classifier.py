from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from polydx.artifacts import read_json
from polydx.model.classifier import PLAIN, Design, TextClassifier, load_classifier, save_classifier
from polydx.names import Pooling
from small_models import small_encoder

LABELS = 3


@pytest.fixture
def encoder() -> PreTrainedModel:
    return small_encoder().eval()


def batch() -> tuple[Tensor, Tensor]:
    mask = torch.tensor([[1, 1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0, 0]])
    return torch.randint(5, 30, (3, 7), generator=torch.Generator().manual_seed(1)) * mask, mask


@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_batched_logits_equal_one_by_one(encoder: PreTrainedModel, pooling: Pooling) -> None:
    model = TextClassifier(encoder, LABELS, pooling, 0.1).eval()
    input_ids, attention_mask = batch()
    with torch.inference_mode():
        found = model(input_ids, attention_mask)
        for row, length in enumerate(attention_mask.sum(1).tolist()):
            alone = model(input_ids[row : row + 1, :length], attention_mask[row : row + 1, :length])
            torch.testing.assert_close(found[row : row + 1], alone, atol=1e-5, rtol=0)
    assert found.dtype == torch.float32


@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_round_trip_gives_the_same_logits_and_pooling(
    encoder: PreTrainedModel, tmp_path: Path, pooling: Pooling, capsys: pytest.CaptureFixture[str]
) -> None:
    model = TextClassifier(encoder, LABELS, pooling, 0.1).eval()
    save_classifier(model, tmp_path)
    files = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert files == {"classifier.json", "head.safetensors", "encoder/config.json", "encoder/model.safetensors"}
    assert capsys.readouterr() == ("", ""), "the library's progress bars would clutter the run's"

    loaded = load_classifier(tmp_path, 0.3).eval()
    assert loaded.pooling == pooling
    assert loaded.head.dropout.p == 0.3
    with torch.inference_mode():
        assert torch.equal(loaded(*batch()), model(*batch()))


def test_a_head_of_other_labels_is_refused(encoder: PreTrainedModel, tmp_path: Path) -> None:
    save_classifier(TextClassifier(encoder, LABELS, "mean", 0.1), tmp_path)
    text = (tmp_path / "classifier.json").read_text()
    (tmp_path / "classifier.json").write_text(text.replace(f'"labels": {LABELS}', '"labels": 4'))
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_classifier(tmp_path, 0.1)


def test_the_word_embedding_is_the_encoders_table(encoder: PreTrainedModel) -> None:
    model = TextClassifier(encoder, LABELS, "mean", 0.1)
    assert model.word_embedding is encoder.get_submodule("embeddings.word_embeddings")
    assert isinstance(model.word_embedding, nn.Embedding)
    names = {name for name, _ in model.named_parameters()}
    assert {name for name in names if name.startswith("head.")} == {"head.weight", "head.bias"}


DESIGNS: dict[str, tuple[Design, Sequence[str]]] = {
    "chunks": (Design(mode="chunks", chunk_tokens=4), []),
    "one_encoder": (Design(mode="two_streams", chunk_tokens=4), ["reader.safetensors"]),
    "two_encoders": (Design(mode="two_streams", chunk_tokens=4, own_encoders=True), ["reader.safetensors"]),
    "side": (Design(side_features=2), ["side.safetensors"]),
    "performer": (Design(performer_features=8), []),
    "all": (
        Design(mode="two_streams", chunk_tokens=4, own_encoders=True, side_features=2, performer_features=8),
        ["reader.safetensors", "side.safetensors"],
    ),
}


@pytest.mark.parametrize("name", DESIGNS)
def test_whatever_the_design_has_comes_back(encoder: PreTrainedModel, tmp_path: Path, name: str) -> None:
    design, files = DESIGNS[name]
    torch.manual_seed(1)
    model = TextClassifier(encoder, LABELS, "laat", 0.1, design)
    # Trained weights, to which no start happens to be equal.
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.eval()
    side = {}
    if model.side is not None:
        model.side.mean.copy_(torch.tensor([1.0, 2.0]))
        side["side"] = torch.tensor([[0.5, 1.0], [2.0, float("nan")], [0.0, 0.0]])
    save_classifier(model, tmp_path)
    plain = {"classifier.json", "head.safetensors", "encoder/config.json", "encoder/model.safetensors"}
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == plain | set(files)
    assert read_json(tmp_path / "classifier.json")["design"] == asdict(design)
    torch.manual_seed(2)
    loaded = load_classifier(tmp_path, 0.1).eval()
    assert loaded.design == design != PLAIN
    assert len(loaded.encoders) == (2 if design.own_encoders else 1)
    with torch.inference_mode():
        assert torch.equal(loaded(*batch(), **side), model(*batch(), **side))


@pytest.mark.parametrize("name", DESIGNS)
def test_every_design_trains_under_bf16_autocast(encoder: PreTrainedModel, name: str) -> None:
    design, _ = DESIGNS[name]
    model = TextClassifier(encoder, LABELS, "laat", 0.0, design).eval()
    side = {"side": torch.zeros(3, 2)} if design.side_features else {}
    exact = model(*batch(), **side)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(*batch(), **side)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, exact, rtol=0, atol=0.05)
    logits.square().sum().backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert len(gradients) > 20 and all(gradient.isfinite().all() for gradient in gradients)


def test_a_part_without_its_file_is_refused(encoder: PreTrainedModel, tmp_path: Path) -> None:
    save_classifier(TextClassifier(encoder, LABELS, "mean", 0.1, Design(side_features=1)), tmp_path)
    (tmp_path / "side.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"side\.safetensors"):
        load_classifier(tmp_path, 0.1)


def test_numbers_beside_the_text_move_the_logits_and_must_be_given(encoder: PreTrainedModel) -> None:
    plain = TextClassifier(encoder, LABELS, "mean", 0.0).eval()
    with pytest.raises(ValueError, match="exactly where"):
        plain(*batch(), side=torch.zeros(3, 1))
    model = TextClassifier(encoder, LABELS, "mean", 0.0, Design(side_features=1)).eval()
    with pytest.raises(ValueError, match="exactly where"):
        model(*batch())
    assert model.side is not None
    torch.nn.init.ones_(model.side.weight)
    side = torch.tensor([[1.0], [0.0], [-2.0]])
    difference = model(*batch(), side=side) - model(*batch(), side=torch.zeros(3, 1))
    torch.testing.assert_close(difference, side.expand(3, LABELS), rtol=0, atol=1e-5)
