import numpy as np
import torch
from sklearn.metrics import log_loss
from torch.autograd import gradcheck

from polydx.train.losses import bce, soft_f1


def batch(rows: int = 6, labels: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    logits = torch.randn(rows, labels, dtype=torch.float64, requires_grad=True)
    targets = (torch.rand(rows, labels) < 0.4).double()
    return logits, targets, torch.rand(rows, dtype=torch.float64)


def test_bce_with_unit_weights_is_the_mean_log_loss() -> None:
    logits, targets, _ = batch()
    expected = np.mean(
        [
            log_loss(targets[:, label].numpy(), logits[:, label].sigmoid().detach().numpy(), labels=[0, 1])
            for label in range(targets.shape[1])
        ]
    )
    assert abs(bce(logits, targets, torch.ones(6)).item() - expected) < 1e-6


def test_bce_by_hand_with_weights_and_soft_targets() -> None:
    logits = torch.tensor([[0.0, 2.0], [-1.0, 0.5]])
    targets = torch.tensor([[1.0, 0.25], [0.0, 1.0]])
    probabilities = 1 / (1 + np.exp(-logits.numpy()))
    losses = -(targets.numpy() * np.log(probabilities) + (1 - targets.numpy()) * np.log(1 - probabilities))
    expected = (losses.mean(1) * np.array([1.0, 0.5])).mean()
    assert abs(bce(logits, targets, torch.tensor([1.0, 0.5])).item() - expected) < 1e-6


def test_a_row_of_weight_zero_adds_nothing() -> None:
    logits, targets, _ = batch()
    weights = torch.tensor([1.0, 1, 1, 1, 0, 0], dtype=torch.float64)
    for loss in (bce, soft_f1):
        (gradient,) = torch.autograd.grad(loss(logits, targets, weights), logits)
        assert gradient[4:].abs().max() == 0
        assert gradient[:4].abs().max() > 0


def test_accumulated_bce_equals_one_batch() -> None:
    logits, targets, weights = batch()
    halves = (bce(logits[:3], targets[:3], weights[:3]) + bce(logits[3:], targets[3:], weights[3:])) / 2
    torch.testing.assert_close(halves, bce(logits, targets, weights), rtol=0, atol=1e-12)


def plain_soft_f1(logits: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> float:
    terms = []
    for label in range(targets.shape[1]):
        true_positive = false_positive = false_negative = 0.0
        for row in range(len(targets)):
            p, y, w = 1 / (1 + np.exp(-logits[row, label])), targets[row, label], weights[row]
            true_positive += w * p * y
            false_positive += w * p * (1 - y)
            false_negative += w * (1 - p) * y
        if targets[:, label].any():
            terms.append(1 - 2 * true_positive / (2 * true_positive + false_positive + false_negative))
    return float(np.mean(terms)) if terms else 0.0


def test_soft_f1_equals_the_plain_loop() -> None:
    logits, targets, weights = batch(rows=9, labels=5)
    targets[:, 2] = 0
    expected = plain_soft_f1(logits.detach().numpy(), targets.numpy(), weights.numpy())
    assert abs(soft_f1(logits, targets, weights).item() - expected) < 1e-6


def test_a_label_without_positives_has_no_gradient_and_none_at_all_is_zero() -> None:
    logits, targets, weights = batch()
    targets[:, 1] = 0
    (gradient,) = torch.autograd.grad(soft_f1(logits, targets, weights), logits)
    assert gradient[:, 1].abs().max() == 0
    nothing = soft_f1(logits, torch.zeros_like(targets), weights)
    assert nothing.item() == 0
    (gradient,) = torch.autograd.grad(nothing, logits)
    assert gradient.abs().max() == 0


def test_soft_f1_is_not_a_mean_over_rows() -> None:
    logits, targets, weights = batch()
    halves = (soft_f1(logits[:3], targets[:3], weights[:3]) + soft_f1(logits[3:], targets[3:], weights[3:])) / 2
    assert abs(halves.item() - soft_f1(logits, targets, weights).item()) > 1e-3


def test_gradients_by_finite_differences() -> None:
    logits, targets, weights = batch()
    assert gradcheck(lambda x: bce(x, targets, weights), (logits,))
    assert gradcheck(lambda x: soft_f1(x, targets, weights), (logits,))
