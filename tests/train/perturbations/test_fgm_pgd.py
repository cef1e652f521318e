from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from polydx.names import Perturbed
from polydx.train.perturbations.embeddings import EmbeddingPoint
from polydx.train.perturbations.fgm import FGM
from polydx.train.perturbations.pgd import PGD

EPSILON, ALPHA = 0.5, 0.2
STEPS = {"fgm": 1, "pgd, K=1": 1, "pgd, K=3": 3, "pgd, K=5": 5}
METHODS = pytest.mark.parametrize("method", STEPS)
TARGETS = pytest.mark.parametrize("target", ["table", "positions"])


def new(method: str, tiny: Any, target: Perturbed) -> FGM | PGD:
    point = EmbeddingPoint(tiny.model.embedding, target)
    return FGM(point, EPSILON) if method == "fgm" else PGD(point, EPSILON, ALPHA, STEPS[method])


def textbook_on_the_table(tiny: Any, method: str) -> dict[str, Tensor]:
    """Contest code: full passes, gradients saved and put back, the table moved and copied back."""
    table = tiny.model.embedding.weight
    clean = table.detach().clone()
    tiny.loss().backward()
    saved = tiny.gradients()
    alpha = EPSILON if method == "fgm" else ALPHA
    for _ in range(STEPS[method]):
        with torch.no_grad():
            table += alpha * table.grad / table.grad.norm()
            offset = table - clean
            table.copy_(clean + offset * min(1.0, EPSILON / offset.norm().item()))
        tiny.model.zero_grad()
        tiny.loss().backward()
    with torch.no_grad():
        table.copy_(clean)
    return {name: gradient + saved[name] for name, gradient in tiny.gradients().items()}


def textbook_on_positions(tiny: Any, method: str, shape: torch.Size) -> dict[str, Tensor]:
    """Miyato 2017: the offset of each example has its own norm."""
    saved = tiny.gradients_of(tiny.loss())
    offset = torch.zeros(*shape, 6)
    alpha = EPSILON if method == "fgm" else ALPHA
    for _ in range(STEPS[method]):
        leaf = offset.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(tiny.loss_moved(leaf), [leaf])
        for example in range(len(offset)):
            offset[example] += alpha * gradient[example] / gradient[example].norm()
            offset[example] *= min(1.0, EPSILON / offset[example].norm().item())
    found = tiny.gradients_of(tiny.loss_moved(offset))
    return {name: gradient + saved[name] for name, gradient in found.items()}


@TARGETS
@METHODS
def test_gradients_equal_the_textbook(
    new_tiny: Callable[..., Any], equal: Callable[..., None], ids: Tensor, method: str, target: Perturbed
) -> None:
    reference, tiny = new_tiny(), new_tiny()
    if target == "table":
        expected = textbook_on_the_table(reference, method)
    else:
        expected = textbook_on_positions(reference, method, ids.shape)
    loss = new(method, tiny, target).backward(tiny.loss)
    assert torch.equal(loss, tiny.loss().detach())
    assert not loss.requires_grad
    equal(tiny.gradients(), expected)


@TARGETS
@METHODS
def test_the_loss_rises_from_step_to_step(tiny: Any, method: str, target: Perturbed) -> None:
    seen: list[float] = []

    def loss_here() -> Tensor:
        loss: Tensor = tiny.loss()
        seen.append(loss.item())
        return loss

    new(method, tiny, target).backward(loss_here)
    assert len(seen) == STEPS[method] + 1
    assert seen == sorted(seen)
    assert seen[-1] > seen[0] + 0.001


@TARGETS
def test_inner_steps_compute_no_weight_gradient(tiny: Any, target: Perturbed) -> None:
    """A hook on each weight's gradient sees the clean pass and the last one, whatever K is."""
    computed: list[str] = []
    for name, parameter in tiny.model.named_parameters():
        parameter.register_hook(lambda _gradient, name=name: computed.append(name))
    new("pgd, K=5", tiny, target).backward(tiny.loss)
    assert sorted(computed) == sorted(2 * [name for name, _ in tiny.model.named_parameters()])


def test_positions_stay_within_each_examples_ball_and_padding_stays_in_place(tiny: Any, ids: Tensor) -> None:
    clean = tiny.model.embedding(ids).detach()
    offsets: list[Tensor] = []
    tiny.model.hidden.register_forward_pre_hook(lambda _, inputs: offsets.append(inputs[0].detach() - clean))
    new("pgd, K=5", tiny, "positions").backward(tiny.loss)
    norms = torch.stack([offset.flatten(1).norm(dim=1) for offset in offsets])
    assert norms[0].max() == 0
    torch.testing.assert_close(norms[1], torch.full((4,), ALPHA))
    assert norms[-1].max() <= EPSILON + 1e-6
    assert all(offset[ids == 0].abs().max() == 0 for offset in offsets)


def test_an_example_without_gradient_stays_in_place(tiny: Any, ids: Tensor) -> None:
    seen: list[Tensor] = []
    tiny.model.hidden.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    new("fgm", tiny, "positions").backward(lambda: tiny.model(ids)[1:].square().sum())
    assert torch.equal(seen[0][0], seen[1][0])
    assert not torch.equal(seen[0][1], seen[1][1])


@TARGETS
def test_a_loss_may_call_the_embedding_more_than_once(
    new_tiny: Callable[..., Any], ids: Tensor, target: Perturbed
) -> None:
    """Two streams of different lengths through one table give what one call with padding gives."""
    once, twice = new_tiny(), new_tiny()
    new("pgd, K=3", once, target).backward(lambda: once.model(ids).square().mean())

    def in_two_calls() -> Tensor:
        return torch.cat([twice.model(ids[:3]), twice.model(ids[3:, :2])]).square().mean()

    new("pgd, K=3", twice, target).backward(in_two_calls)
    for name, gradient in twice.gradients().items():
        torch.testing.assert_close(gradient, once.gradients()[name], rtol=0, atol=1e-6)


def test_a_loss_that_reads_no_words_or_ever_more_of_them_is_refused(tiny: Any, ids: Tensor) -> None:
    with pytest.raises(RuntimeError, match="does not read the word embeddings"):
        new("fgm", tiny, "table").backward(lambda: tiny.model.head.weight.square().sum())
    calls = 0

    def more_and_more() -> Tensor:
        nonlocal calls
        calls += 1
        return sum((tiny.model(ids).square().mean() for _ in range(calls)), torch.zeros(()))

    with pytest.raises(RuntimeError, match="more often than in its clean pass"):
        new("fgm", tiny, "positions").backward(more_and_more)
