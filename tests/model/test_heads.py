from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from polydx.model.heads import (
    BINARY_UNITS,
    MEAN_SCALE,
    AttentionHead,
    BinaryHeads,
    Head,
    LaatHead,
    LabelAttentionHead,
    PooledHead,
    new_head,
    start_at_rates,
)
from polydx.names import Pooling

WIDTH, LABELS = 8, 4
HIDDEN = torch.randn(3, 5, WIDTH, generator=torch.Generator().manual_seed(0))
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)


def read(tokens: Tensor, query: Tensor) -> Tensor:
    """Soft attention, token by token: `[width]`."""
    weights = torch.stack([(token @ query).exp() for token in tokens])
    return sum((weight * token for weight, token in zip(weights, tokens, strict=True)), torch.zeros(WIDTH)) / sum(
        weights
    )


def mean(tokens: Tensor) -> Tensor:
    return MEAN_SCALE * tokens.sum(0) / tokens.sum(0).norm()


def first_logit(head: Head, tokens: Tensor, label: int) -> Tensor:
    assert isinstance(head, PooledHead)
    return head.weight[label] @ tokens[0] + head.bias[label]


def mean_logit(head: Head, tokens: Tensor, label: int) -> Tensor:
    assert isinstance(head, PooledHead)
    return head.weight[label] @ mean(tokens) + head.bias[label]


def attention_logit(head: Head, tokens: Tensor, label: int) -> Tensor:
    assert isinstance(head, AttentionHead)
    return head.weight[label] @ read(tokens, head.query[0]) + head.bias[label]


def label_attention_logit(head: Head, tokens: Tensor, label: int) -> Tensor:
    assert isinstance(head, LabelAttentionHead)
    return head.weight[label] @ read(tokens, head.query[label]) + head.bias[label]


def laat_logit(head: Head, tokens: Tensor, label: int) -> Tensor:
    assert isinstance(head, LaatHead)
    weights = torch.stack([(torch.tanh(head.projection @ token) @ head.query[label]).exp() for token in tokens])
    return head.weight[label] @ (weights @ tokens / weights.sum()) + head.bias[label]


def binary_logit(head: Head, tokens: Tensor, label: int) -> Tensor:
    """The label's own two-layer network."""
    assert isinstance(head, BinaryHeads)
    own = slice(label * BINARY_UNITS, (label + 1) * BINARY_UNITS)
    units = functional.gelu(head.units.weight[own] @ mean(tokens) + head.units.bias[own])
    return head.weight[label] @ units + head.bias[label]


SLOWLY: dict[Pooling, Callable[[Head, Tensor, int], Tensor]] = {
    "first": first_logit,
    "mean": mean_logit,
    "attention": attention_logit,
    "label_attention": label_attention_logit,
    "laat": laat_logit,
    "binary": binary_logit,
}


@pytest.mark.parametrize("pooling", POOLINGS)
def test_logits_equal_a_loop_over_rows_labels_and_tokens(pooling: Pooling) -> None:
    torch.manual_seed(1)
    head = new_head(WIDTH, LABELS, pooling, 0.0)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    logits = head(HIDDEN, MASK)
    assert logits.shape == (3, LABELS)
    for row in range(3):
        tokens = HIDDEN[row][MASK[row] == 1]
        expected = torch.stack([SLOWLY[pooling](head, tokens, label) for label in range(LABELS)])
        torch.testing.assert_close(logits[row], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_changes_nothing(pooling: Pooling) -> None:
    head = new_head(WIDTH, LABELS, pooling, 0.0)
    disturbed = torch.where(MASK[..., None] == 1, HIDDEN, HIDDEN + 100)
    torch.testing.assert_close(head(disturbed, MASK), head(HIDDEN, MASK), rtol=0, atol=0)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_parameter_learns_and_dropout_is_drawn_in_training_only(pooling: Pooling) -> None:
    torch.manual_seed(2)
    head = new_head(WIDTH, LABELS, pooling, 0.5)
    head(HIDDEN, MASK).sigmoid().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in head.parameters())
    assert not torch.equal(head(HIDDEN, MASK), head(HIDDEN, MASK))
    head.eval()
    assert torch.equal(head(HIDDEN, MASK), head(HIDDEN, MASK))


def test_a_binary_head_shares_nothing_with_another_label() -> None:
    head = new_head(WIDTH, LABELS, "binary", 0.0)
    head(HIDDEN, MASK)[:, 1].sum().backward()
    assert isinstance(head, BinaryHeads)
    gradient = head.units.weight.grad
    assert gradient is not None
    touched = gradient.unflatten(0, (LABELS, BINARY_UNITS)).abs().sum((1, 2)) > 0
    assert touched.tolist() == [False, True, False, False]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_bias_starts_at_the_smoothed_rates(pooling: Pooling) -> None:
    targets = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 1]], dtype=np.float32)
    head = new_head(WIDTH, 3, pooling, 0.0)
    start_at_rates(head.bias, targets)
    torch.testing.assert_close(head.bias.sigmoid(), torch.tensor([1.5, 0.5, 3.5]) / 4, rtol=0, atol=1e-6)
