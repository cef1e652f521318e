"""How warm: values along the way, and the reversed gradient."""

import pytest
import torch

from polydx.distil.soft_targets import soft_target_divergence
from polydx.distil.temperature import LearnedTemperature, new_temperature, reverse_gradient


def test_fixed_and_annealed() -> None:
    fixed, annealed = new_temperature("fixed", 4.0, 1.0), new_temperature("annealed", 4.0, 1.0)
    assert [fixed(progress) for progress in (0.0, 0.5)] == [4.0, 4.0]
    assert [annealed(progress) for progress in (0.0, 0.5, 1.0)] == [4.0, 2.5, 1.0]
    assert not list(fixed.parameters())


def test_a_reversed_gradient() -> None:
    value = torch.tensor(3.0, requires_grad=True)
    turned = reverse_gradient(value, 0.25)
    assert turned.item() == 3.0
    (turned**2).backward()
    assert value.grad == -0.25 * 6


@pytest.mark.parametrize(("progress", "strength"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_a_learned_temperature_goes_against_the_student_ever_more(progress: float, strength: float) -> None:
    student, teacher = torch.tensor([[0.3, -2.0]]), torch.tensor([[3.0, -0.5]])
    gradients = []
    for turn in (True, False):
        learned = LearnedTemperature(4.0)
        temperature = learned(progress) if turn else 1 + 9 * learned.position.sigmoid()
        assert temperature.item() == pytest.approx(4.0)
        (gradient,) = torch.autograd.grad(soft_target_divergence(student, teacher, temperature), learned.position)
        gradients.append(gradient.item())
    assert abs(gradients[1]) > 1e-3
    assert gradients[0] == pytest.approx(-strength * gradients[1], abs=1e-7)


def test_a_learned_temperature_starts_within_its_bounds() -> None:
    with pytest.raises(ValueError, match="between"):
        new_temperature("learned", 1.0, 1.0)
