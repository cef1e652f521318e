"""Moving a model's weights for a moment: what AWP and SAM share."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from polydx.train.perturbations.interface import LossHere

Offsets = Callable[[Sequence[Tensor], Sequence[Tensor]], Iterator[Tensor]]
"""How far each weight moves, one after the other, from the weights and the loss's gradients there."""


def backward_at(offsets_of: Offsets, parameters: Sequence[nn.Parameter], loss_here: LossHere, scale: float) -> Tensor:
    """Add the gradients at moved weights, and only those, to `.grad`; return the loss at the clean ones, detached.

    The ascent's gradients never reach `.grad`, so what earlier batches left there stays; they are gone before the
    second pass, which holds one copy of the weights beside them.
    """
    loss = loss_here()
    with _moved(*_ascent(offsets_of, parameters, scale * loss)):
        (scale * loss_here()).backward()
    return loss.detach()


def _ascent(
    offsets_of: Offsets, parameters: Sequence[nn.Parameter], loss: Tensor
) -> tuple[list[nn.Parameter], Iterator[Tensor]]:
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    used = [(weight, slope) for weight, slope in zip(parameters, found, strict=True) if slope is not None]
    if not used:
        raise RuntimeError("the loss depends on none of the weights to perturb")
    weights = [weight for weight, _ in used]
    return weights, offsets_of([weight.detach() for weight in weights], [slope for _, slope in used])


@contextmanager
def _moved(weights: Sequence[nn.Parameter], offsets: Iterable[Tensor]) -> Iterator[None]:
    """Backups restore the weights, not a subtraction: only they are bit-exact."""
    backups = [weight.detach().clone() for weight in weights]
    try:
        with torch.no_grad():
            for weight, offset in zip(weights, offsets, strict=True):
                weight.add_(offset)
        yield
    finally:
        with torch.no_grad():
            for weight, backup in zip(weights, backups, strict=True):
                weight.copy_(backup)
