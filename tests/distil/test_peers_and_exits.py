"""Peers and early exits that teach each other, by plain loops."""

import math

import pytest
import torch
from torch import Tensor

from polydx.distil.exit_training import exit_loss, joint_loss, self_loss
from polydx.distil.peers import mutual_loss

LOGITS = [torch.randn(3, 2, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]


def divergence(teacher: Tensor, student: Tensor) -> float:
    """Mean KL of Bernoulli variables."""
    terms = []
    for z_t, z_s in zip(teacher.flatten().tolist(), student.flatten().tolist(), strict=True):
        q, p = (1 / (1 + math.exp(-z)) for z in (z_t, z_s))
        terms.append(q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p)))
    return sum(terms) / len(terms)


def mean_square(logits: Tensor) -> Tensor:
    return logits.square().mean()


def test_peers_learn_from_the_mean_of_all_others() -> None:
    expected = sum(divergence(LOGITS[j], LOGITS[i]) / 2 for i in range(3) for j in range(3) if i != j)
    assert mutual_loss(LOGITS).item() == pytest.approx(expected, abs=1e-6)


def test_no_gradient_flows_into_a_target() -> None:
    one, two = (logits.clone().requires_grad_() for logits in LOGITS[:2])
    (found,) = torch.autograd.grad(mutual_loss([one, two]), two)
    expected = (two.sigmoid() - one.sigmoid()) / 6  # of KL(one || two) alone
    torch.testing.assert_close(found, expected)


def test_all_exits_weigh_the_same() -> None:
    expected = mean_square(LOGITS[0]) + mean_square(LOGITS[1])
    torch.testing.assert_close(joint_loss(LOGITS[:2], mean_square), expected)


def test_exits_learn_from_the_last_one() -> None:
    last = LOGITS[2].clone().requires_grad_()
    loss = self_loss([logits.clone().requires_grad_() for logits in LOGITS[:2]], last)
    expected = divergence(LOGITS[2], LOGITS[0]) + divergence(LOGITS[2], LOGITS[1])
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    loss.backward()
    assert last.grad is None


def test_mutual_exits_learn_their_lesson_and_from_each_other() -> None:
    early, last = LOGITS[:2], LOGITS[2]
    joint = joint_loss(early, mean_square)
    torch.testing.assert_close(exit_loss("joint", early, last, mean_square), joint)
    torch.testing.assert_close(exit_loss("self", early, last, mean_square), self_loss(early, last))
    torch.testing.assert_close(exit_loss("mutual", early, last, mean_square), joint + mutual_loss(LOGITS))
