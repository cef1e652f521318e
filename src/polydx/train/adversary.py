"""Adversarial perturbations of the word embeddings: FGM and PGD, on the table or on each example's positions.

Each computes the clean gradients, goes to the perturbed point, adds the gradients found there, and puts everything back
bit by bit, also when a backward pass raises. The optimiser then takes one step from the sum.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

LossHere = Callable[[], Tensor]
"""Runs the forward pass on the current batch at the current point; scalar loss."""


class Adversary(Protocol):
    """What the training loop calls instead of `loss.backward()`."""

    def backward(self, loss_here: LossHere) -> Tensor:
        """Leave clean plus adversarial gradients in `.grad`; return the clean loss."""


class TablePoint:
    """Where to perturb: the whole embedding table with one norm, as contest code has it."""

    def __init__(self, embedding: nn.Embedding) -> None:
        self.weight = embedding.weight

    def clean(self, loss_here: LossHere) -> tuple[Tensor, Tensor]:
        """Run the clean backward pass; return the loss and the table's gradient `[vocabulary, width]`."""
        loss = loss_here()
        loss.backward()
        if self.weight.grad is None:
            raise RuntimeError("the loss does not depend on the word embeddings")
        return loss, self.weight.grad.detach().clone()

    @contextmanager
    def at(self, offset: Tensor) -> Iterator[Tensor]:
        """Move by `offset` inside the block; yields the leaf that gradients are taken of.

        A backup restores the table, not a subtraction: only that is bit-exact.
        """
        backup = self.weight.detach().clone()
        try:
            with torch.no_grad():
                self.weight.add_(offset)
            yield self.weight
        finally:
            with torch.no_grad():
                self.weight.copy_(backup)

    def norm(self, tensor: Tensor) -> Tensor:
        """One norm over the table: a scalar."""
        norm: Tensor = torch.linalg.vector_norm(tensor)
        return norm


class PositionsPoint:
    """Where to perturb: each example's embedded positions, a norm each (Miyato 2017). Weights are never touched."""

    def __init__(self, embedding: nn.Embedding) -> None:
        self.embedding = embedding

    def clean(self, loss_here: LossHere) -> tuple[Tensor, Tensor]:
        """Run the clean backward pass; return the loss and the positions' gradient `[batch, positions, width]`."""
        embedded: list[Tensor] = []

        def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            output.retain_grad()
            embedded.append(output)

        hook = self.embedding.register_forward_hook(keep)
        try:
            loss = loss_here()
        finally:
            hook.remove()
        loss.backward()
        if len(embedded) != 1 or embedded[0].grad is None:
            raise RuntimeError(f"expected one gradient at the embedded positions, found {len(embedded)} passes")
        return loss, embedded[0].grad.detach()

    @contextmanager
    def at(self, offset: Tensor) -> Iterator[Tensor]:
        """Move by `offset` inside the block; yields the leaf that gradients are taken of."""
        leaf = offset.detach().clone().requires_grad_()

        def shift(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            return output + leaf

        hook = self.embedding.register_forward_hook(shift)
        try:
            yield leaf
        finally:
            hook.remove()

    def norm(self, tensor: Tensor) -> Tensor:
        """One norm for each example: `[batch, 1, 1]`."""
        norm: Tensor = torch.linalg.vector_norm(tensor, dim=(1, 2), keepdim=True)
        return norm


def _direction(gradient: Tensor, norm: Tensor) -> Tensor:
    """Gradient over its norm; zero where the norm is zero, so that an example without gradient stays in place."""
    return torch.where(norm > 0, gradient / norm, torch.zeros_like(gradient))


class FGM:
    """Fast gradient method (Miyato 2017): r = epsilon g / |g|."""

    def __init__(self, point: TablePoint | PositionsPoint, epsilon: float) -> None:
        self.point, self.epsilon = point, epsilon

    def backward(self, loss_here: LossHere) -> Tensor:
        """See `Adversary`."""
        loss, gradient = self.point.clean(loss_here)
        offset = self.epsilon * _direction(gradient, self.point.norm(gradient))
        with self.point.at(offset):
            loss_here().backward()
        return loss


class PGD:
    """Projected gradient descent (Madry 2018): K steps of alpha g / |g| inside the ball |r| <= epsilon.

    The steps before the last need the gradient at the embeddings only, so no weight gradient is computed there and the
    clean gradients need no saving; the last step's weight gradients add to the clean ones.
    """

    def __init__(self, point: TablePoint | PositionsPoint, epsilon: float, alpha: float, steps: int) -> None:
        self.point, self.epsilon, self.alpha, self.steps = point, epsilon, alpha, steps

    def backward(self, loss_here: LossHere) -> Tensor:
        """See `Adversary`."""
        loss, gradient = self.point.clean(loss_here)
        offset = torch.zeros_like(gradient)
        for step in range(self.steps):
            offset = self._project(offset + self.alpha * _direction(gradient, self.point.norm(gradient)))
            with self.point.at(offset) as leaf:
                if step == self.steps - 1:
                    loss_here().backward()
                else:
                    (gradient,) = torch.autograd.grad(loss_here(), [leaf])
        return loss

    def _project(self, offset: Tensor) -> Tensor:
        norm = self.point.norm(offset)
        return torch.where(norm > self.epsilon, offset * (self.epsilon / norm), offset)


def new_adversary(
    method: Literal["none", "fgm", "pgd"],
    target: Literal["table", "positions"],
    embedding: nn.Embedding,
    epsilon: float,
    alpha: float,
    steps: int,
) -> FGM | PGD | None:
    """Build the perturbation that the settings name."""
    point = TablePoint(embedding) if target == "table" else PositionsPoint(embedding)
    if method == "none":
        return None
    return FGM(point, epsilon) if method == "fgm" else PGD(point, epsilon, alpha, steps)
