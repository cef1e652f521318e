"""Losses that are a mean over rows: each against a plain loop over rows and labels."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch import Tensor
from torch.autograd import gradcheck

from polydx.model.label_rates import log_odds
from polydx.train.losses import asl, bce, distribution_balanced, focal, hamming, positive_weights, zlpr
from polydx.train.losses.distribution_balanced import BalancedShape

ROWS, LABELS = 7, 4
POSITIVES = torch.tensor([50.0, 3.0, 20.0, 1.0], dtype=torch.float64)
TRAINING_ROWS = 100
CLASS_WEIGHTS = positive_weights(POSITIVES, TRAINING_ROWS, 0.5)


def sigmoid(z: float) -> float:
    return 1 / (1 + np.exp(-z))


def plain_bce(logits: list[float], targets: list[float], class_weights: list[float] | None = None) -> float:
    total = 0.0
    for label, (z, y) in enumerate(zip(logits, targets, strict=True)):
        weight = 1.0 if class_weights is None else class_weights[label]
        total -= weight * y * np.log(sigmoid(z)) + (1 - y) * np.log(1 - sigmoid(z))
    return total / len(logits)


def plain_focal(logits: list[float], targets: list[float]) -> float:
    total = 0.0
    for z, y in zip(logits, targets, strict=True):
        p = sigmoid(z)
        for side, certainty, alpha in ((y, p, 0.25), (1 - y, 1 - p, 0.75)):
            total -= side * alpha * (1 - certainty) ** 2 * np.log(certainty)
    return total / len(logits)


def plain_asl(logits: list[float], targets: list[float], gamma_positive: float = 1.0) -> float:
    """As in the authors' code, but for the sum."""
    total = 0.0
    for z, y in zip(logits, targets, strict=True):
        positive = sigmoid(z)
        negative = min(1 - positive + 0.05, 1.0)
        total -= y * np.log(max(positive, 1e-8)) * (1 - positive) ** gamma_positive
        total -= (1 - y) * np.log(max(negative, 1e-8)) * (1 - negative) ** 4
    return total / len(logits)


def plain_distribution_balanced(
    logits: list[float],
    targets: list[float],
    floor: float = 0.1,
    slope: float = 10.0,
    centre: float = 0.9,
    scale: float = 2.0,
    bias: float = 0.05,
    focus: float = 2.0,
) -> float:
    """As in the authors' code, but for the bias (not over lambda, as in the paper) and the factor 2."""
    inverse = [1 / count for count in POSITIVES.tolist()]
    drawn = sum(y * share for y, share in zip(targets, inverse, strict=True))
    total = 0.0
    for z, y, count, share in zip(logits, targets, POSITIVES.tolist(), inverse, strict=True):
        weight = floor + (sigmoid(slope * (share / drawn - centre)) if drawn else 1.0)
        # Half a row on either side, as everywhere in this package.
        z = z - bias * np.log((TRAINING_ROWS + 1) / (count + 0.5) - 1)
        z, weight = (z, weight) if y else (scale * z, weight / scale)
        certainty = sigmoid(z) if y else 1 - sigmoid(z)
        total -= weight * (1 - certainty) ** focus * np.log(certainty)
    return total / len(logits)


def plain_zlpr(logits: list[float], targets: list[float]) -> float:
    absent = sum(np.exp(z) for z, y in zip(logits, targets, strict=True) if not y)
    present = sum(np.exp(-z) for z, y in zip(logits, targets, strict=True) if y)
    return float(np.log(1 + absent) + np.log(1 + present))


def plain_hamming(logits: list[float], targets: list[float]) -> float:
    wrong = [1 - sigmoid(z) if y else sigmoid(z) for z, y in zip(logits, targets, strict=True)]
    return float(np.mean(wrong))


Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
asl_of = partial(asl, negative_focus=4.0, clip=0.05)
LOSSES: dict[str, tuple[Loss, Callable[..., float]]] = {
    "bce": (bce, plain_bce),
    "bce, class weights": (
        partial(bce, class_weights=CLASS_WEIGHTS),
        partial(plain_bce, class_weights=CLASS_WEIGHTS.tolist()),
    ),
    "asl": (partial(asl_of, positive_focus=1.0), plain_asl),
    "asl, gamma+ 0": (partial(asl_of, positive_focus=0.0), partial(plain_asl, gamma_positive=0.0)),
    "focal": (partial(focal, focus=2.0, positive_share=0.25), plain_focal),
    "distribution_balanced": (
        partial(distribution_balanced, positives=POSITIVES, rows=TRAINING_ROWS, shape=BalancedShape()),
        plain_distribution_balanced,
    ),
    "distribution_balanced, other shape": (
        partial(
            distribution_balanced,
            positives=POSITIVES,
            rows=TRAINING_ROWS,
            shape=BalancedShape(0.3, 4.0, 0.5, 3.0, 0.2, 1.0),
        ),
        partial(plain_distribution_balanced, floor=0.3, slope=4.0, centre=0.5, scale=3.0, bias=0.2, focus=1.0),
    ),
    "zlpr": (zlpr, plain_zlpr),
    "hamming": (hamming, plain_hamming),
}


def batch(rows: int = ROWS, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Two logits are far out; the last row has no label."""
    draw = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(rows, LABELS, dtype=torch.float64, generator=draw)
    logits[0, :2] = torch.tensor([-9.0, 9.0])
    targets = (torch.rand(rows, LABELS, generator=draw) < 0.4).double()
    targets[-1] = 0
    return logits.requires_grad_(), targets, torch.rand(rows, dtype=torch.float64, generator=draw)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_equals_the_plain_loop_with_row_weights(name: str) -> None:
    loss, plain = LOSSES[name]
    logits, targets, weights = batch()
    rows = zip(logits.tolist(), targets.tolist(), weights.tolist(), strict=True)
    expected = sum(weight * plain(z, y) for z, y, weight in rows) / ROWS
    assert loss(logits, targets, weights).item() == pytest.approx(expected, abs=1e-6)
    # float32, as in training; sums of a dozen terms of size ten
    single = loss(logits.float(), targets.float(), weights.float()).item()
    assert single == pytest.approx(expected, abs=1e-6, rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_by_finite_differences(name: str) -> None:
    logits, targets, weights = batch()
    loss, _ = LOSSES[name]
    assert gradcheck(lambda z: loss(z, targets, weights), (logits,))
    soft = torch.rand(ROWS, LABELS, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    assert gradcheck(lambda z: loss(z, soft, weights), (logits,))


@pytest.mark.parametrize("name", LOSSES)
def test_accumulated_batches_equal_one_and_the_size_does_not_follow_the_rows(name: str) -> None:
    loss, _ = LOSSES[name]
    logits, targets, weights = batch(rows=6)
    whole = loss(logits, targets, weights)
    halves = sum(loss(logits[part], targets[part], weights[part]) / 2 for part in (slice(0, 3), slice(3, 6)))
    torch.testing.assert_close(halves, whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        loss(logits.repeat(5, 1), targets.repeat(5, 1), weights.repeat(5)), whole, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("name", LOSSES)
def test_a_row_of_weight_zero_adds_nothing(name: str) -> None:
    logits, targets, weights = batch()
    weights[4:] = 0
    (gradient,) = torch.autograd.grad(LOSSES[name][0](logits, targets, weights), logits)
    assert gradient[4:].abs().max() == 0
    assert gradient[:4].abs().max() > 0


@pytest.mark.parametrize("name", LOSSES)
def test_logits_far_out_keep_finite_gradients(name: str) -> None:
    logits = torch.tensor([[-200.0, 200.0, -200.0, 200.0]], requires_grad=True)
    targets = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    loss = LOSSES[name][0]
    positives = {"positives": POSITIVES.float()} if name.startswith("distribution_balanced") else {}
    weights = {"class_weights": CLASS_WEIGHTS.float()} if name == "bce, class weights" else {}
    value = loss(logits, targets, torch.ones(1), **positives, **weights)
    (gradient,) = torch.autograd.grad(value, logits)
    assert torch.isfinite(value) and torch.isfinite(gradient).all()


def test_bce_with_unit_weights_is_the_mean_log_loss() -> None:
    logits, targets, _ = batch()
    expected = np.mean(
        [
            log_loss(targets[:, label].numpy(), logits[:, label].sigmoid().detach().numpy(), labels=[0, 1])
            for label in range(LABELS)
        ]
    )
    assert bce(logits, targets, torch.ones(ROWS, dtype=torch.float64)).item() == pytest.approx(expected, abs=1e-6)


def test_asl_without_focus_and_clip_is_bce_and_focal_half_of_it() -> None:
    logits, targets, weights = batch()
    expected = bce(logits, targets, weights)
    plain = asl(logits, targets, weights, negative_focus=0.0, positive_focus=0.0, clip=0.0)
    torch.testing.assert_close(plain, expected, rtol=0, atol=1e-9)
    half = focal(logits, targets, weights, focus=0.0, positive_share=0.5)
    torch.testing.assert_close(2 * half, expected, rtol=0, atol=1e-9)


def test_asl_lets_easy_absences_go() -> None:
    logits = torch.tensor([[-4.0, -1.0]], requires_grad=True)
    loss = asl_of(logits, torch.zeros(1, 2), torch.ones(1), positive_focus=1.0)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[0, 0] == 0 < gradient[0, 1]


def test_class_weights_balance_and_the_log_odds_are_those_of_the_rate() -> None:
    rates = (POSITIVES + 0.5) / (TRAINING_ROWS + 1)
    torch.testing.assert_close(log_odds(POSITIVES, TRAINING_ROWS), torch.logit(rates))
    torch.testing.assert_close(positive_weights(POSITIVES, TRAINING_ROWS, 1.0), (1 - rates) / rates)
    assert positive_weights(POSITIVES, TRAINING_ROWS, 0.0).tolist() == [1.0] * LABELS
    assert torch.isfinite(log_odds(torch.tensor([0.0, 100.0]), TRAINING_ROWS)).all()
