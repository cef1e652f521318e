"""Moving a model's weights for a moment: what AWP and SAM share."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from polydx.train.perturbations.interface import LossHere

Offsets = Callable[[Sequence[Tensor], Sequence[Tensor]], Sequence[Tensor]]
"""How far each weight moves, from the weights and the loss's gradients there."""


def backward_at(offsets_of: Offsets, parameters: Sequence[nn.Parameter], loss_here: LossHere, scale: float) -> Tensor:
    """Add the gradients at moved weights, and only those, to `.grad`; return the loss at the clean ones, detached.

    The ascent's gradients never reach `.grad`, so what earlier batches left there stays.
    """
    loss = loss_here()
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    used = [(weight, slope) for weight, slope in zip(parameters, found, strict=True) if slope is not None]
    if not used:
        raise RuntimeError("the loss depends on none of the weights to perturb")
    weights = [weight for weight, _ in used]
    with _moved(weights, offsets_of(weights, [slope for _, slope in used])):
        (scale * loss_here()).backward()
    return loss.detach()


@contextmanager
def _moved(weights: Sequence[nn.Parameter], offsets: Sequence[Tensor]) -> Iterator[None]:
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
