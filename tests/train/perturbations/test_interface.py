"""What every perturbation promises, whatever it moves."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from polydx.train.perturbations.awp import AWP
from polydx.train.perturbations.embeddings import EmbeddingPoint
from polydx.train.perturbations.fgm import FGM
from polydx.train.perturbations.freelb import FreeLB
from polydx.train.perturbations.interface import Perturbation
from polydx.train.perturbations.pgd import PGD
from polydx.train.perturbations.r_drop import RDrop
from polydx.train.perturbations.sam import SAM
from polydx.train.perturbations.vat import VAT
from small_models import EveryOther


def at(tiny: Any, target: Any) -> EmbeddingPoint:
    return EmbeddingPoint(tiny.model.embedding, target)


METHODS: dict[str, tuple[int, Callable[[Any], Perturbation]]] = {
    "fgm, table": (2, lambda tiny: FGM(at(tiny, "table"), 0.7)),
    "fgm, positions": (2, lambda tiny: FGM(at(tiny, "positions"), 0.7)),
    "pgd, table": (4, lambda tiny: PGD(at(tiny, "table"), 0.7, 0.3, 3)),
    "pgd, positions": (4, lambda tiny: PGD(at(tiny, "positions"), 0.7, 0.3, 3)),
    "freelb": (3, lambda tiny: FreeLB(at(tiny, "positions"), 3, 0.1, 0.2, 0.6)),
    "awp": (2, lambda tiny: AWP(tiny.model.parameters(), 0.3, 0.1)),
    "sam": (2, lambda tiny: SAM(tiny.model.parameters(), 0.3)),
    "r_drop": (2, lambda tiny: RDrop(tiny.model, 2.0)),
    "vat, table": (3, lambda tiny: VAT(tiny.model, at(tiny, "table"), 0.1, 0.7, 1, 1.0)),
    "vat, positions": (3, lambda tiny: VAT(tiny.model, at(tiny, "positions"), 0.1, 0.7, 1, 1.0)),
}
"""Each with the passes of a step."""
EVERY = pytest.mark.parametrize("method", METHODS)


class RaisesBackward(torch.autograd.Function):
    """The identity, but for its gradient."""

    @staticmethod
    def forward(_context: Any, loss: Tensor) -> Tensor:
        return loss.clone()

    @staticmethod
    def backward(_context: Any, *_gradients: Tensor) -> None:
        raise FloatingPointError("planted in a backward pass")


@EVERY
@pytest.mark.parametrize("where", ["nowhere", "forward", "backward"])
def test_weights_come_back_bit_by_bit_whatever_raises(new_tiny: Callable[..., Any], method: str, where: str) -> None:
    passes, new = METHODS[method]
    for failing in range(1, passes + 1):
        tiny = new_tiny(dropout=0.1)
        before = tiny.weights()
        calls = 0

        def loss_here(tiny: Any = tiny, failing: int = failing) -> Tensor:
            nonlocal calls
            calls += 1
            if where == "forward" and calls == failing:
                raise FloatingPointError("planted in a forward pass")
            loss = tiny.loss()
            return RaisesBackward.apply(loss) if where == "backward" and calls == failing else loss

        # VAT's moved passes are run for their logits; the loss that comes with them is not differentiated.
        reaches = where != "backward" or not (method.startswith("vat") and failing > 1)
        if where != "nowhere" and reaches:
            with pytest.raises(FloatingPointError, match=f"planted in a {where} pass"):
                new(tiny).backward(loss_here)
        else:
            new(tiny).backward(loss_here)
            assert calls == passes
        assert all(torch.equal(before[name], value) for name, value in tiny.model.state_dict().items())
        assert not tiny.model.embedding._forward_hooks and not tiny.model._forward_hooks


@EVERY
def test_gradients_add_to_what_is_there_and_scale(new_tiny: Callable[..., Any], method: str) -> None:
    def gradients(start: float, scale: float) -> dict[str, Tensor]:
        tiny = new_tiny(dropout=0.2)
        for parameter in tiny.model.parameters():
            parameter.grad = torch.full_like(parameter, start)
        torch.manual_seed(4)
        METHODS[method][1](tiny).backward(tiny.loss, scale)
        found: dict[str, Tensor] = tiny.gradients()
        return found

    plain = gradients(0.0, 1.0)
    assert max(float(gradient.abs().max()) for gradient in plain.values()) > 0.01
    for name, gradient in gradients(2.0, 0.25).items():
        torch.testing.assert_close(gradient, 2.0 + 0.25 * plain[name], rtol=0, atol=1e-6)


ONE_NORM = "one norm spans the batch, and each part moves by its own"
OWN_ASCENT = "each part moves the weights by its own gradient"
ADD_UP = {
    "fgm, table": ONE_NORM,
    "fgm, positions": None,
    "pgd, table": ONE_NORM,
    "pgd, positions": None,
    "freelb": None,
    "awp": OWN_ASCENT,
    "sam": OWN_ASCENT,
    "r_drop": None,
    "vat, table": ONE_NORM,
    "vat, positions": None,
}
"""Why the gradients of parts don't add up to those of the whole batch; None where they do."""


def test_each_method_says_whether_its_parts_add_up() -> None:
    assert ADD_UP.keys() == METHODS.keys()


@EVERY
def test_accumulated_batches_give_one_large_batch_but_for_the_reason_given(
    new_tiny: Callable[..., Any], method: str
) -> None:
    """Two halves, each scaled by 1/2, as two batches that accumulate.

    FreeLB's start and VAT's probe are the same for a row either way: torch draws numbers one after the other, normal
    ones in blocks of 16, which divide a half's 48.
    """
    whole, halves = new_tiny(), new_tiny()
    for tiny, parts in ((whole, [slice(0, 4)]), (halves, [slice(0, 2), slice(2, 4)])):
        if method == "r_drop":
            tiny.model.dropout = EveryOther()
        perturbation = METHODS[method][1](tiny)
        torch.manual_seed(4)
        for part in parts:
            perturbation.backward(lambda tiny=tiny, part=part: tiny.loss(part), 1 / len(parts))
    expected = whole.gradients()
    apart = max(float((gradient - expected[name]).abs().max()) for name, gradient in halves.gradients().items())
    assert apart < 1e-6 if ADD_UP[method] is None else apart > 1e-4


@EVERY
def test_under_bf16_autocast_gradients_stay_float32_and_close(new_tiny: Callable[..., Any], method: str) -> None:
    plain, cast = new_tiny(), new_tiny()
    torch.manual_seed(4)
    METHODS[method][1](plain).backward(plain.loss)

    def loss_here() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            logits = cast.model(cast.ids)
        return torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), cast.targets)

    torch.manual_seed(4)
    METHODS[method][1](cast).backward(loss_here)
    for name, gradient in cast.gradients().items():
        assert gradient.dtype == torch.float32
        torch.testing.assert_close(gradient, plain.gradients()[name], rtol=0.1, atol=0.02)
