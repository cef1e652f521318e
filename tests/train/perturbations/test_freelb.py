from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from polydx.train.perturbations.embeddings import EmbeddingPoint
from polydx.train.perturbations.freelb import FreeLB

WIDTH = 6


def textbook(tiny: Any, ids: Tensor, steps: int, rate: float, start_norm: float, max_norm: float) -> Any:
    """The authors' loop, written out for each example; draws as they do, uniform in [-1, 1]."""
    real = (ids != 0).float()
    drawn = torch.empty(*ids.shape, WIDTH).uniform_(-1, 1)
    offset = drawn * real[..., None] * start_norm / (real.sum(1) * WIDTH).sqrt()[:, None, None]
    total = {name: torch.zeros_like(parameter) for name, parameter in tiny.model.named_parameters()}
    losses = []
    for _ in range(steps):
        leaf = offset.clone().requires_grad_()
        loss = tiny.loss_moved(leaf)
        losses.append(loss.item())
        (gradient,) = torch.autograd.grad(loss, [leaf], retain_graph=True)
        for name, found in tiny.gradients_of(loss).items():
            total[name] += found / steps
        for example in range(len(offset)):
            offset[example] += rate * gradient[example] / gradient[example].norm()
            if max_norm > 0:
                offset[example] *= min(1.0, max_norm / offset[example].norm().item())
    return total, sum(losses) / steps


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(("start_norm", "max_norm"), [(0.4, 0.5), (0.0, 0.0), (0.8, 0.0)])
def test_gradients_equal_the_textbook_from_the_same_random_start(
    new_tiny: Callable[..., Any],
    equal: Callable[..., None],
    ids: Tensor,
    steps: int,
    start_norm: float,
    max_norm: float,
) -> None:
    reference, tiny = new_tiny(), new_tiny()
    torch.manual_seed(5)
    expected, expected_loss = textbook(reference, ids, steps, 0.2, start_norm, max_norm)
    torch.manual_seed(5)
    freelb = FreeLB(EmbeddingPoint(tiny.model.embedding, "positions"), steps, 0.2, start_norm, max_norm)
    loss = freelb.backward(tiny.loss)
    assert loss.item() == pytest.approx(expected_loss, abs=1e-6)
    equal(tiny.gradients(), expected)


def test_one_step_from_the_clean_point_is_an_ordinary_one(tiny: Any, equal: Callable[..., None]) -> None:
    FreeLB(EmbeddingPoint(tiny.model.embedding, "positions"), 1, 0.2, 0.0, 0.5).backward(tiny.loss)
    equal(tiny.gradients(), tiny.gradients_of(tiny.loss()))


def test_the_random_start_is_none_of_the_tables(tiny: Any) -> None:
    with pytest.raises(ValueError, match="positions, not the table"):
        FreeLB(EmbeddingPoint(tiny.model.embedding, "table"), 3, 0.1, 0.1, 0.5)
