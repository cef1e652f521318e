"""The F1 losses: counts over the batch, so no mean over rows."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from polydx.train.losses import clamped_soft_f1, sigmoid_f1, soft_f1

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def sigmoid(z: float) -> float:
    return 1 / (1 + np.exp(-z))


def present(targets: np.ndarray, weights: np.ndarray) -> bool:
    return any(y >= 0.5 and w > 0 for y, w in zip(targets, weights, strict=True))


def plain(logits: np.ndarray, targets: np.ndarray, weights: np.ndarray, slope: float = 1, offset: float = 0) -> float:
    terms = []
    for label in range(targets.shape[1]):
        true_positive = false_positive = false_negative = 0.0
        for row in range(len(targets)):
            p, y, w = sigmoid(slope * (logits[row, label] + offset)), targets[row, label], weights[row]
            true_positive += w * p * y
            false_positive += w * p * (1 - y)
            false_negative += w * (1 - p) * y
        if present(targets[:, label], weights):
            terms.append(1 - 2 * true_positive / (2 * true_positive + false_positive + false_negative))
    return float(np.mean(terms)) if terms else 0.0


def plain_clamped(logits: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> float:
    """As in contest code: clamp, precision, recall; but a mean over present labels, and without its 1e-8s."""
    terms = []
    for label in range(targets.shape[1]):
        y, w = targets[:, label], weights
        p = sigmoid(logits[:, label])
        p = np.maximum(p * (1 - y), 0.01) + p * y
        true_positive = (w * p * y).sum()
        precision, recall = true_positive / (w * p).sum(), true_positive / max((w * y).sum(), 1e-300)
        if present(y, weights):
            terms.append(1 - 2 * precision * recall / (precision + recall))
    return float(np.mean(terms))


LOSSES: dict[str, tuple[Loss, Callable[..., float]]] = {
    "soft_f1": (soft_f1, plain),
    "clamped_soft_f1": (clamped_soft_f1, plain_clamped),
    "sigmoid_f1": (partial(sigmoid_f1, slope=1.0, offset=0.0), plain),
    "sigmoid_f1, steep": (partial(sigmoid_f1, slope=3.0, offset=0.5), partial(plain, slope=3.0, offset=0.5)),
}
EVERY = pytest.mark.parametrize("name", LOSSES)


def batch(rows: int = 9, labels: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """No row has the third label."""
    torch.manual_seed(0)
    logits = (3 * torch.randn(rows, labels, dtype=torch.float64)).requires_grad_()
    targets = (torch.rand(rows, labels) < 0.4).double()
    targets[:, 2] = 0
    return logits, targets, torch.rand(rows, dtype=torch.float64)


@EVERY
def test_a_loss_equals_the_plain_loop(name: str) -> None:
    loss, reference = LOSSES[name]
    logits, targets, weights = batch()
    expected = reference(logits.detach().numpy(), targets.numpy(), weights.numpy())
    assert loss(logits, targets, weights).item() == pytest.approx(expected, abs=1e-6)
    assert loss(logits.float(), targets.float(), weights.float()).item() == pytest.approx(expected, abs=1e-6)


@EVERY
def test_gradients_by_finite_differences(name: str) -> None:
    logits, targets, weights = batch()
    assert gradcheck(lambda z: LOSSES[name][0](z, targets, weights), (logits,))


@EVERY
def test_a_row_of_weight_zero_adds_nothing(name: str) -> None:
    logits, targets, weights = batch()
    weights[4:] = 0
    (gradient,) = torch.autograd.grad(LOSSES[name][0](logits, targets, weights), logits)
    assert gradient[4:].abs().max() == 0
    assert gradient[:4].abs().max() > 0


@EVERY
def test_a_label_without_positives_has_no_gradient_and_none_at_all_is_zero(name: str) -> None:
    logits, targets, weights = batch()
    loss = LOSSES[name][0]
    (gradient,) = torch.autograd.grad(loss(logits, targets, weights), logits)
    assert gradient[:, 2].abs().max() == 0
    nothing = loss(logits, torch.zeros_like(targets), weights)
    assert nothing.item() == 0
    (gradient,) = torch.autograd.grad(nothing, logits)
    assert gradient.abs().max() == 0


@EVERY
def test_soft_targets_make_a_label_present_only_from_a_half_on_and_with_weight(name: str) -> None:
    logits, targets, weights = batch()
    soft = 0.49 * torch.rand(9, 5, dtype=torch.float64)
    soft[:, 0] = targets[:, 0]
    soft[3, 1] = 0.5
    soft[4, 3], weights[4] = 0.9, 0.0
    loss, reference = LOSSES[name]
    found = loss(logits, soft, weights)
    assert found.item() == pytest.approx(reference(logits.detach().numpy(), soft.numpy(), weights.numpy()), abs=1e-6)
    (gradient,) = torch.autograd.grad(found, logits)
    assert (gradient.abs().amax(0) > 0).tolist() == [True, True, False, False, False]


@EVERY
def test_the_size_does_not_follow_the_rows_but_accumulated_batches_differ_from_one(name: str) -> None:
    logits, targets, weights = batch(rows=6)
    loss = LOSSES[name][0]
    whole = loss(logits, targets, weights)
    repeated = loss(logits.repeat(5, 1), targets.repeat(5, 1), weights.repeat(5))
    torch.testing.assert_close(repeated, whole, rtol=0, atol=1e-12)
    halves = (loss(logits[:3], targets[:3], weights[:3]) + loss(logits[3:], targets[3:], weights[3:])) / 2
    assert abs(halves.item() - whole.item()) > 1e-3


def test_right_and_sure_answers_reach_the_least_values() -> None:
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    logits, weights = 100 * (2 * targets - 1), torch.ones(3)
    assert soft_f1(logits, targets, weights).item() == pytest.approx(0, abs=1e-6)
    assert sigmoid_f1(logits, targets, weights, slope=1.0, offset=0.0).item() == pytest.approx(0, abs=1e-6)
    only = torch.ones(3, 1)
    assert clamped_soft_f1(100 * only, only, weights).item() == pytest.approx(-0.01 / 2.01, abs=1e-6)


def test_the_clamped_form_pushes_a_quiet_absence_no_further() -> None:
    logits = torch.tensor([[-6.0], [-1.0], [2.0]], requires_grad=True)
    targets = torch.tensor([[0.0], [0.0], [1.0]])
    (gradient,) = torch.autograd.grad(clamped_soft_f1(logits, targets, torch.ones(3)), logits)
    assert gradient[0].item() == 0 < gradient[1].item()
