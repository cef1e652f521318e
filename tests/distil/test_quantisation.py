"""Rounding as int8 rounds, against plain loops and the exported model; gradients straight through."""

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch.nn import functional
from transformers import BertConfig, BertForSequenceClassification

from polydx.artifacts import Floats
from polydx.deploy.onnx_models import export_onnx, quantise_dynamic
from polydx.deploy.onnx_runtime import load_onnx
from polydx.distil.peers import mutual_loss
from polydx.distil.quantisation import Int8Products, int8_linear, round_inputs, round_weights
from polydx.distil.temperature import Temperature
from polydx.distil.training import DistillationTask
from polydx.model.layers import classify

VALUES = st.floats(-100, 100, width=32, allow_subnormal=False)
MATRICES = arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=2, max_side=5), elements=VALUES)


def scale_of(extent: np.float32, steps: int) -> np.float32:
    scale = extent / np.float32(steps)
    return scale if scale >= np.finfo(np.float32).tiny else np.float32(1)


@settings(max_examples=40, deadline=None)
@given(MATRICES)
def test_weights_by_a_loop(weight: Floats) -> None:
    expected = np.zeros_like(weight)
    for row, values in enumerate(weight):
        scale = scale_of(max(abs(value) for value in values), 127)
        for column, value in enumerate(values):
            expected[row, column] = round(value / scale) * scale
    np.testing.assert_allclose(round_weights(torch.from_numpy(weight)).numpy(), expected, rtol=1e-6, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(MATRICES)
def test_inputs_by_a_loop(inputs: Floats) -> None:
    lowest, highest = min(np.float32(0), inputs.min()), max(np.float32(0), inputs.max())
    scale = scale_of(highest - lowest, 255)
    zero = round(-lowest / scale)
    expected = np.zeros_like(inputs)
    for place, value in np.ndenumerate(inputs):
        expected[place] = (min(255, max(0, round(value / scale) + zero)) - zero) * scale
    np.testing.assert_allclose(round_inputs(torch.from_numpy(inputs)).numpy(), expected, rtol=1e-6, atol=1e-5)


def test_zeros_stay_and_extremes_are_kept() -> None:
    weight = torch.tensor([[0.0, 0.0], [0.25, -1.0]])
    torch.testing.assert_close(round_weights(weight), torch.tensor([[0.0, 0.0], [32 / 127, -1.0]]))
    assert not round_inputs(torch.zeros(2, 3)).any()
    inputs = torch.tensor([[-1.0, 0.0, 1.54]])
    torch.testing.assert_close(round_inputs(inputs)[0, 1:], torch.tensor([0.0, 155 * 2.54 / 255]), atol=1e-6, rtol=0)


def test_the_gradient_goes_straight_through_the_rounding() -> None:
    """d/dx and d/dW of W x: the other operand as it was rounded, and no derivative of scales or steps."""
    torch.manual_seed(0)
    inputs, weight, bias = (torch.randn(*shape, requires_grad=True) for shape in ((3, 4), (2, 4), (2,)))
    above = torch.randn(3, 2)
    int8_linear(inputs, weight, bias).backward(above)
    rounded_inputs, rounded_weight = round_inputs(inputs.detach()), round_weights(weight.detach())
    assert not torch.equal(rounded_weight, weight)
    torch.testing.assert_close(inputs.grad, above @ rounded_weight, rtol=0, atol=1e-6)
    torch.testing.assert_close(weight.grad, above.T @ rounded_inputs, rtol=0, atol=1e-6)
    torch.testing.assert_close(bias.grad, above.sum(0), rtol=0, atol=1e-6)


def test_products_are_exact_under_autocast_too() -> None:
    torch.manual_seed(0)
    inputs, weight = torch.randn(3, 64), torch.randn(2, 64)
    expected = int8_linear(inputs, weight)
    with torch.autocast("cpu", torch.bfloat16), Int8Products():
        torch.testing.assert_close(functional.linear(inputs, weight), expected, rtol=0, atol=0)


@pytest.fixture
def student() -> BertForSequenceClassification:
    """One dimension of what enters the first layer is far larger than the others: a hard case for one scale."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=4,
        initializer_range=0.3,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        model.bert.embeddings.LayerNorm.weight[0] = 10.0
    return model


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    mask = (torch.arange(10) < torch.randint(4, 11, (32, 1))).long()
    return {
        "input_ids": torch.randint(5, 40, (32, 10)) * mask,
        "attention_mask": mask,
        "taught": 3 * torch.randn(32, 4),
        "targets": torch.zeros(32, 4),
        "labelled": torch.zeros(32, dtype=torch.bool),
    }


def inputs_of(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    return batch["input_ids"], batch["attention_mask"]


def test_only_the_last_share_of_the_training_is_rounded(
    student: BertForSequenceClassification, batch: dict[str, torch.Tensor]
) -> None:
    peer = copy.deepcopy(student)
    before = copy.deepcopy(student.state_dict())

    def loss(progress: float, int8_share: float, peers: Sequence[BertForSequenceClassification] = ()) -> float:
        task = DistillationTask(student, Temperature(2.0, 2.0), 1.0, peers=peers, int8_share=int8_share)
        return float(task(batch, progress))

    plain = loss(0.0, 0.0)
    assert loss(0.99, 0.0) == loss(0.69, 0.3) == plain
    rounded = loss(0.7, 0.3)
    assert rounded == loss(0.0, 1.0) != plain
    with Int8Products():
        logits = classify(student, *inputs_of(batch))
    exact = classify(student, *inputs_of(batch))
    assert not torch.equal(logits, exact), "nothing is rounded outside"
    with_peer = rounded + plain + float(mutual_loss([logits, exact]))
    assert loss(0.7, 0.3, [peer]) == pytest.approx(with_peer, rel=1e-5), "a peer isn't rounded"
    assert all(torch.equal(value, before[key]) for key, value in student.state_dict().items())


def train(student: BertForSequenceClassification, batch: dict[str, torch.Tensor], int8_share: float) -> None:
    task = DistillationTask(student.train(), Temperature(1.0, 1.0), 1.0, int8_share=int8_share)
    optimiser = torch.optim.Adam(task.parameters(), 3e-3)
    steps = 120
    for step in range(steps):
        optimiser.zero_grad()
        task(batch, step / steps).backward()
        optimiser.step()
    student.eval()


def test_a_student_trained_for_int8_loses_less_by_it(
    student: BertForSequenceClassification, batch: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """The exported int8 model is what the rounding in training said, and near its own fp32 logits.

    The bound: a mean absolute error of a twentieth of the logits' spread, and less than without rounding in training.
    """
    errors = []
    for int8_share in (0.0, 0.5):
        model = copy.deepcopy(student)
        train(model, batch, int8_share)
        with torch.no_grad():
            exact = classify(model, *inputs_of(batch))
            with Int8Products():
                rounded = classify(model, *inputs_of(batch))
        errors.append(float((rounded - exact).abs().mean() / exact.std()))
    assert errors[1] < errors[0]
    export_onnx(model, tmp_path / "plain.onnx")
    quantise_dynamic(tmp_path / "plain.onnx", tmp_path / "int8.onnx")
    found = torch.from_numpy(load_onnx(tmp_path / "int8.onnx", 1)(*(each.numpy() for each in inputs_of(batch))))
    assert (found - rounded).abs().mean() < 0.005 * exact.std()
    assert (found - exact).abs().mean() < 0.05 * exact.std()
