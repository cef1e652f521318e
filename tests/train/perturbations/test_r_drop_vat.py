from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from polydx.train.perturbations.embeddings import EmbeddingPoint
from polydx.train.perturbations.outputs import bernoulli_divergence, symmetric_divergence
from polydx.train.perturbations.r_drop import RDrop
from polydx.train.perturbations.vat import VAT

WIDTH = 6


def plain_divergence(first: Tensor, second: Tensor) -> Tensor:
    """KL(p || q) by its definition, summed up answer by answer."""
    p, q = first.sigmoid(), second.sigmoid()
    total = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    return total.mean()


def test_divergences_by_their_definition() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(bernoulli_divergence(first, second), plain_divergence(first, second))
    both = (plain_divergence(first, second) + plain_divergence(second, first)) / 2
    torch.testing.assert_close(symmetric_divergence(first, second), both)
    assert bernoulli_divergence(first, first) == 0 == symmetric_divergence(second, second)


def test_r_drop_equals_two_passes_written_out(
    new_tiny: Callable[..., Any], equal: Callable[..., None], ids: Tensor
) -> None:
    """With the same draws; which masks are drawn is all that is random."""
    reference, tiny = new_tiny(dropout=0.4), new_tiny(dropout=0.4)
    torch.manual_seed(3)
    losses, logits = [], []
    for _ in range(2):
        state = torch.get_rng_state()
        losses.append(reference.loss())
        torch.set_rng_state(state)
        logits.append(reference.model(ids))
    both = (plain_divergence(*logits) + plain_divergence(*logits[::-1])) / 2
    expected = reference.gradients_of((losses[0] + losses[1]) / 2 + 2.5 * both)
    torch.manual_seed(3)
    loss = RDrop(tiny.model, 2.5).backward(tiny.loss)
    assert loss.item() == pytest.approx((losses[0] + losses[1]).item() / 2, abs=1e-6)
    equal(tiny.gradients(), expected)


def test_r_drop_without_dropout_is_an_ordinary_step(tiny: Any, equal: Callable[..., None]) -> None:
    RDrop(tiny.model, 5.0).backward(tiny.loss)
    equal(tiny.gradients(), tiny.gradients_of(tiny.loss()))


def test_r_drops_gradient_is_that_of_its_expectation(new_tiny: Callable[..., Any]) -> None:
    """Mean of 150 steps against 150 others: within 5 standard errors of their difference in all but 1% of entries."""
    tiny = new_tiny(dropout=0.3)
    torch.manual_seed(0)
    samples: dict[str, list[Tensor]] = {"ours": [], "plain": []}
    for _ in range(150):
        tiny.model.zero_grad()
        RDrop(tiny.model, 1.0).backward(tiny.loss)
        samples["ours"].append(tiny.gradients()["hidden.weight"])
        first, second = tiny.model(tiny.ids), tiny.model(tiny.ids)
        bce = torch.nn.functional.binary_cross_entropy_with_logits
        targets = tiny.targets
        both = (plain_divergence(first, second) + plain_divergence(second, first)) / 2
        loss = (bce(first, targets) + bce(second, targets)) / 2 + both
        samples["plain"].append(tiny.gradients_of(loss)["hidden.weight"])
    ours, plain = (torch.stack(found) for found in samples.values())
    error = ((ours.var(0) + plain.var(0)) / 150).sqrt()
    assert ((ours.mean(0) - plain.mean(0)).abs() > 5 * error).float().mean() < 0.01


@pytest.mark.parametrize("target", ["positions", "table"])
@pytest.mark.parametrize("iterations", [1, 3])
def test_vat_equals_the_power_method_written_out(
    new_tiny: Callable[..., Any], equal: Callable[..., None], ids: Tensor, target: Any, iterations: int
) -> None:
    """With the same random probe, and with dropout, whose masks stay the same from pass to pass."""
    xi, epsilon, weight = 0.1, 0.7, 1.5
    reference, tiny = new_tiny(dropout=0.3), new_tiny(dropout=0.3)
    model = reference.model
    words, word_of = ids.flatten().unique(return_inverse=True)
    points = len(words) if target == "table" else ids.numel()

    def spread(offset: Tensor) -> Tensor:
        return (offset[word_of] if target == "table" else offset).view(*ids.shape, WIDTH) * (ids != 0)[..., None]

    def logits_at(offset: Tensor) -> Tensor:
        torch.manual_seed(7)
        return model.above(model.embedding(ids) + spread(offset), ids)

    def normalised(offset: Tensor) -> Tensor:
        if target == "table":
            inside = offset * (words != 0)[:, None]
            return inside / inside.norm()
        rows = offset.view(*ids.shape, WIDTH) * (ids != 0)[..., None]
        return (rows / rows.flatten(1).norm(dim=1)[:, None, None]).view(points, WIDTH)

    clean = logits_at(torch.zeros(points, WIDTH)).detach()
    probe = torch.randn(points, WIDTH)
    for _ in range(iterations):
        leaf = (xi * normalised(probe)).requires_grad_()
        (probe,) = torch.autograd.grad(plain_divergence(clean.double(), logits_at(leaf).double()), [leaf])
    loss = plain_divergence(clean, logits_at(epsilon * normalised(probe)))
    expected = reference.gradients_of(weight * loss)
    torch.manual_seed(7)
    for name, gradient in reference.gradients_of(reference.loss()).items():
        expected[name] += gradient

    torch.manual_seed(7)
    point = EmbeddingPoint(tiny.model.embedding, target)
    VAT(tiny.model, point, xi, epsilon, iterations, weight).backward(tiny.loss)
    equal(tiny.gradients(), expected)


def test_vat_points_where_answers_change_faster_than_at_random(tiny: Any, ids: Tensor) -> None:
    """The divergence at r is above that of each of 50 random offsets of the same length."""
    found: list[Tensor] = []
    tiny.model.register_forward_hook(lambda _module, _inputs, logits: found.append(logits.detach()))
    VAT(tiny.model, EmbeddingPoint(tiny.model.embedding, "positions"), 0.1, 0.3, 3, 1.0).backward(tiny.loss)
    clean, moved = found[0], found[-1]
    torch.manual_seed(0)
    for _ in range(50):
        offset = torch.randn(*ids.shape, WIDTH) * (ids != 0)[..., None]
        offset *= 0.3 / offset.flatten(1).norm(dim=1)[:, None, None]
        random = tiny.model.above(tiny.model.embedding(ids) + offset, ids)
        assert plain_divergence(clean, moved) > plain_divergence(clean, random)


def test_vats_passes_repeat_the_masks_and_leave_the_generator_where_its_own_draws_end(
    new_tiny: Callable[..., Any], ids: Tensor
) -> None:
    tiny = new_tiny(dropout=0.5)
    found: list[Tensor] = []
    tiny.model.register_forward_hook(lambda _module, _inputs, logits: found.append(logits.detach()))
    torch.manual_seed(2)
    VAT(tiny.model, EmbeddingPoint(tiny.model.embedding, "positions"), 1e-6, 1e-6, 2, 1.0).backward(tiny.loss)
    after = torch.rand(3)
    assert len(found) == 4
    for logits in found[1:]:
        torch.testing.assert_close(logits, found[0], rtol=0, atol=1e-5)
    torch.manual_seed(2)
    tiny.loss()
    torch.randn(ids.numel(), WIDTH)
    assert torch.equal(after, torch.rand(3))


def test_a_loss_without_logits_is_refused(tiny: Any) -> None:
    with pytest.raises(RuntimeError, match="did not call the model"):
        RDrop(tiny.model, 1.0).backward(lambda: tiny.model.head.weight.square().sum())
