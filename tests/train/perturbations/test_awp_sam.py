from collections.abc import Callable
from typing import Any

import pytest
import torch

from polydx.train.perturbations.awp import AWP
from polydx.train.perturbations.sam import SAM


def gradients_at(tiny: Any, offsets: dict[str, torch.Tensor]) -> Any:
    clean = tiny.weights()
    with torch.no_grad():
        for name, parameter in tiny.model.named_parameters():
            parameter += offsets[name]
    found = tiny.gradients_of(tiny.loss())
    tiny.model.load_state_dict(clean)
    return found


def test_sam_equals_the_textbook(new_tiny: Callable[..., Any], equal: Callable[..., None]) -> None:
    reference, tiny = new_tiny(), new_tiny()
    clean = reference.gradients_of(reference.loss())
    norm = torch.cat([gradient.flatten() for gradient in clean.values()]).norm()
    expected = gradients_at(reference, {name: 0.3 * gradient / norm for name, gradient in clean.items()})
    loss = SAM(tiny.model.parameters(), 0.3).backward(tiny.loss)
    assert torch.equal(loss, reference.loss().detach())
    equal(tiny.gradients(), expected)


@pytest.mark.parametrize(("rate", "epsilon"), [(0.2, 10.0), (0.2, 0.05), (1.0, 0.01)])
def test_awp_equals_the_textbook(
    new_tiny: Callable[..., Any], equal: Callable[..., None], rate: float, epsilon: float
) -> None:
    reference, tiny = new_tiny(), new_tiny()
    offsets = {}
    for name, gradient in reference.gradients_of(reference.loss()).items():
        weight = reference.model.get_parameter(name).detach()
        step = rate * gradient / gradient.norm() * weight.norm() if weight.ndim > 1 else torch.zeros_like(weight)
        offsets[name] = step.clamp(min=-epsilon * weight.abs(), max=epsilon * weight.abs())
    expected = gradients_at(reference, offsets)
    loss = AWP(tiny.model.parameters(), rate, epsilon).backward(tiny.loss)
    assert torch.equal(loss, reference.loss().detach())
    equal(tiny.gradients(), expected)


@pytest.mark.parametrize("method", ["awp", "sam"])
def test_frozen_and_unused_weights_stay_in_place(tiny: Any, ids: torch.Tensor, method: str) -> None:
    tiny.model.embedding.weight.requires_grad_(False)
    tiny.model.unused = torch.nn.Linear(2, 2)
    parameters = tiny.model.parameters()
    perturbation = AWP(parameters, 0.5, 0.1) if method == "awp" else SAM(parameters, 0.5)
    seen: list[torch.Tensor] = []

    def loss_here() -> torch.Tensor:
        seen.extend([tiny.model.embedding.weight.clone(), tiny.model.unused.weight.clone()])
        return tiny.model(ids).square().mean()

    perturbation.backward(loss_here)
    assert torch.equal(seen[0], seen[2]) and torch.equal(seen[1], seen[3])


def test_a_loss_of_none_of_the_weights_is_refused(tiny: Any) -> None:
    with pytest.raises(RuntimeError, match="none of the weights"):
        SAM(tiny.model.head.parameters(), 0.1).backward(lambda: tiny.model.hidden.weight.square().sum())
