"""Heads and neurons taken out against the same ones silenced, and importances against one gradient at a time."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForSequenceClassification

from polydx.deploy.importances import importances
from polydx.deploy.low_rank import LowRankEmbedding, with_low_rank_embedding
from polydx.deploy.student_model import StudentModel
from polydx.distil.student import student_of
from polydx.model.encoders import load_encoder, save_folder
from polydx.model.pruning import keep_heads, keep_neurons, most_important

HEADS, NEURONS, WIDTH = 2, 32, 16


@pytest.fixture(scope="module")
def model(student_folder: Path) -> StudentModel:
    torch.manual_seed(3)
    model = student_of(load_encoder(student_folder.parent / "encoder", 0.0), [0, 1], ("a", "b", "c"), 0.0).train(False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def batch(rows: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(rows)
    mask = torch.ones(rows, 7, dtype=torch.int64)
    mask[0, 4:] = 0
    return torch.randint(5, 20, (rows, 7)), mask, torch.rand(rows, 3)


def logits(model: StudentModel) -> torch.Tensor:
    input_ids, attention_mask, _ = batch()
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=input_ids, attention_mask=attention_mask).logits
    return found


def silenced(model: StudentModel, name: str, columns: list[list[int]]) -> StudentModel:
    """The model with some inputs of a layer's product weighted by zero."""
    quiet = copy.deepcopy(model)
    for layer, gone in zip(quiet.base_model.encoder.layer, columns, strict=True):
        layer.get_submodule(name).weight.data[:, gone] = 0
    return quiet


def test_pruned_equals_silenced(model: StudentModel, tmp_path: Path) -> None:
    neurons = [[0, 3, 9, 31], [1, 2, 4, 30]]
    smaller = keep_neurons(model, neurons)
    gone = [sorted(set(range(NEURONS)) - set(kept)) for kept in neurons]
    torch.testing.assert_close(logits(smaller), logits(silenced(model, "output.dense", gone)), atol=1e-6, rtol=0)
    save_folder(tmp_path, smaller)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).train(False)
    assert torch.equal(logits(loaded), logits(smaller)), "still a stock class"

    fewer = keep_heads(model, [[1], [0]])
    gone = [list(range(8)), list(range(8, 16))]
    expected = logits(silenced(model, "attention.output.dense", gone))
    torch.testing.assert_close(logits(fewer), expected, atol=1e-6, rtol=0)
    assert sum(each.numel() for each in fewer.parameters()) < sum(each.numel() for each in model.parameters())
    with pytest.raises(ValueError, match="as many in each"):
        keep_neurons(model, [[0], [0, 1]])


def test_everything_kept_changes_nothing(model: StudentModel) -> None:
    assert torch.equal(logits(keep_heads(model, [[0, 1]] * 2)), logits(model))
    assert torch.equal(logits(keep_neurons(model, [list(range(NEURONS))] * 2)), logits(model))


def slope(model: StudentModel, name: str, layer: int, columns: list[int], row: int) -> float:
    """d loss of one row / d scale of some inputs of a product, which is activation times gradient, in float64."""
    input_ids, attention_mask, targets = (part[row : row + 1] for part in batch())
    double = copy.deepcopy(model).double()
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    module = double.base_model.encoder.layer[layer].get_submodule(name)

    def scaled(_: torch.nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        factor = torch.ones(inputs[0].shape[-1], dtype=torch.float64)
        chosen = torch.zeros_like(factor)
        chosen[columns] = 1
        return (inputs[0] * (factor + chosen * (scale - 1)),)

    module.register_forward_pre_hook(scaled)
    found = double(input_ids=input_ids, attention_mask=attention_mask).logits
    functional.binary_cross_entropy_with_logits(found, targets.double()).backward()
    assert scale.grad is not None
    return float(scale.grad)


def test_importances_are_the_slopes_row_by_row(model: StudentModel) -> None:
    found = importances(model, [batch()])
    assert (found.heads.shape, found.neurons.shape) == ((2, HEADS), (2, NEURONS))
    for layer in (0, 1):
        for head in range(HEADS):
            columns = list(range(8 * head, 8 * head + 8))
            slopes = [abs(slope(model, "attention.output.dense", layer, columns, row)) for row in range(3)]
            assert found.heads[layer, head] == pytest.approx(sum(slopes), abs=1e-5)
        for neuron in (0, 17):
            slopes = [abs(slope(model, "output.dense", layer, [neuron], row)) for row in range(3)]
            assert found.neurons[layer, neuron] == pytest.approx(sum(slopes), abs=1e-5)


def test_rows_count_the_same_in_any_batch(model: StudentModel) -> None:
    whole, parts = batch(), [tuple(part[rows] for part in batch()) for rows in (slice(0, 1), slice(1, 3))]
    one, two = importances(model, [whole]), importances(model, parts)  # type: ignore[arg-type]
    np.testing.assert_allclose(one.heads, two.heads, atol=1e-5)
    np.testing.assert_allclose(one.neurons, two.neurons, atol=1e-5)


def test_the_most_important_stay() -> None:
    values = np.array([[1.0, 5, 3, 3], [0, 0, 0, 9]])
    assert most_important(values, 0.5) == [[1, 2], [0, 3]]
    assert most_important(values, 0.01) == [[1], [3]]


def test_low_rank_is_the_best_of_its_rank(model: StudentModel) -> None:
    table = model.get_input_embeddings().weight.detach()
    ids = torch.arange(len(table))
    values = np.linalg.svd(table.numpy().astype(np.float64), compute_uv=False)
    for rank in (1, 5, WIDTH):
        smaller = LowRankEmbedding(table, rank)
        error = (smaller(ids) - table).double().square().sum().item()
        assert error == pytest.approx(float((values[rank:] ** 2).sum()), abs=1e-4)
    with pytest.raises(ValueError, match="rank 17"):
        LowRankEmbedding(table, 17)
    torch.testing.assert_close(logits(with_low_rank_embedding(model, WIDTH)), logits(model), atol=1e-4, rtol=0)
