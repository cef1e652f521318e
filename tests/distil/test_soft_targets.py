"""Soft targets by hand and against a plain reference."""

import math

import numpy as np
import pytest
import torch

from polydx.distil.soft_targets import SUREST, soft_target_loss, teacher_logits


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_by_hand() -> None:
    # T = 2: the teacher's logit log 9 becomes log 3, so it asks for 3/4; the student's 0 answers 1/2.
    loss = soft_target_loss(torch.zeros(1, 1), torch.tensor([[math.log(9.0)]]), temperature=2.0)
    assert loss.item() == pytest.approx(4 * math.log(2.0))
    loss = soft_target_loss(torch.tensor([[math.log(81.0)]]), torch.tensor([[math.log(9.0)]]), temperature=2.0)
    assert loss.item() == pytest.approx(-4 * (0.75 * math.log(0.9) + 0.25 * math.log(0.1)), rel=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 7.0])
def test_equals_a_plain_reference(temperature: float) -> None:
    draw = np.random.default_rng(0)
    student, teacher = draw.normal(0, 3, (2, 5, 4))
    terms = []
    for z_s, z_t in zip(student.ravel(), teacher.ravel(), strict=True):
        p, q = sigmoid(z_s / temperature), sigmoid(z_t / temperature)
        terms.append(-(temperature**2) * (q * math.log(p) + (1 - q) * math.log(1 - p)))
    loss = soft_target_loss(torch.tensor(student), torch.tensor(teacher), temperature)
    assert loss.item() == pytest.approx(sum(terms) / len(terms), abs=1e-6)


def test_the_teachers_own_logits_are_the_minimum() -> None:
    teacher = torch.tensor([[2.0, -1.0, 0.5]])
    student = teacher.clone().requires_grad_()
    soft_target_loss(student, teacher, 3.0).backward()
    assert student.grad is not None
    torch.testing.assert_close(student.grad, torch.zeros_like(teacher))


def test_logits_turn_back_into_probabilities_and_stay_finite() -> None:
    probabilities = np.array([[0.1, 0.5, 0.999, 0.0, 1.0]], dtype=np.float32)
    logits = teacher_logits(probabilities)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(1 / (1 + np.exp(-logits[0, :3])), probabilities[0, :3], atol=1e-6)
    np.testing.assert_allclose(logits[0, 3:], [math.log(SUREST), -math.log(SUREST)], rtol=1e-5)
