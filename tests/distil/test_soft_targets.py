"""Soft targets by hand and against a plain reference."""

import math

import numpy as np
import pytest
import torch

from polydx.distil.soft_targets import SUREST, soft_target_divergence, soft_target_loss, teacher_logits


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


def test_either_side_of_a_label_can_weigh_more() -> None:
    draw = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 3, 2, generator=draw, dtype=torch.float64)
    weights = torch.tensor([[1.5, 0.2], [4.0, 0.5]], dtype=torch.float64)
    absent, present = weights.tolist()
    total = 0.0
    for row in range(3):
        for label in range(2):
            p, q = sigmoid(student[row, label] / 2), sigmoid(teacher[row, label] / 2)
            total -= 4 * (present[label] * q * math.log(p) + absent[label] * (1 - q) * math.log(1 - p))
    assert soft_target_loss(student, teacher, 2.0, weights).item() == pytest.approx(total / 6, abs=1e-6)


def test_the_divergence_is_zero_at_the_teacher_and_has_the_same_gradient() -> None:
    teacher = torch.tensor([[2.0, -1.0, 0.5]])
    assert soft_target_divergence(teacher, teacher, 3.0).item() == pytest.approx(0.0, abs=1e-6)
    student = torch.tensor([[1.0, 0.0, 3.0]], requires_grad=True)
    gradients = [
        torch.autograd.grad(loss(student, teacher, 3.0), student)[0]
        for loss in (soft_target_loss, soft_target_divergence)
    ]
    torch.testing.assert_close(*gradients)


def test_no_divergence_is_below_zero_where_sides_weigh_differently() -> None:
    draw = torch.Generator().manual_seed(1)
    weights = torch.tensor([[1.0, 2.0, 0.5], [4.0, 0.5, 0.5]], dtype=torch.float64)
    teacher = 3 * torch.randn(1, 3, generator=draw, dtype=torch.float64)
    best = teacher + 3 * torch.tensor([4.0, 0.25, 1.0], dtype=torch.float64).log()
    assert soft_target_divergence(best, teacher, 3.0, weights).item() == pytest.approx(0.0, abs=1e-12)
    for _ in range(50):
        student = best + torch.randn(1, 3, generator=draw, dtype=torch.float64)
        assert soft_target_divergence(student, teacher, 3.0, weights).item() > 0
    assert soft_target_divergence(teacher, teacher, 3.0, weights).item() > 0
