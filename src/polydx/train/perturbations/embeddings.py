"""The place where FGM, PGD, FreeLB and VAT move the word embeddings.

The offset is added to what the embedding gives, never to its weights: there is nothing to put back, nothing as large as
the table is copied or normed, and a step that needs only the offset's gradient runs no further than to it. Moving the
table moves all positions of a word together, so for the words of a batch the result is the same.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from polydx.names import Perturbed
from polydx.train.distributed import ALONE, Total
from polydx.train.perturbations.interface import LossHere

Noise = Callable[[Tensor, Tensor], Tensor]
"""A first offset `[rows, positions, width]` from the ids `[rows, positions]` and the embedded positions."""
Hook = Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor | None]


class Call(NamedTuple):
    """One call of the embedding: ids `[rows, positions]`, and what the encoder got, `[rows, positions, width]`."""

    ids: Tensor
    embedded: Tensor


class CleanPass(NamedTuple):
    """What the first pass of a step found: its loss, detached, the site, and the gradient there `[points, width]`."""

    loss: Tensor
    site: "Site"
    gradient: Tensor


class EmbeddingPoint:
    """Where to perturb a model.

    Args:
        embedding: The word embedding. A loss may call it more than once.
        target: `positions`: each embedded position moves by itself, with a norm for each row of ids (Miyato 2017): an
            example, also where it is read in chunks, for its words are looked up once for the whole record. `table`:
            all positions of a word move together, with one norm over the table, as contest code has it.
        total: Sums over the processes that share a batch: its words move together, whichever process reads them.
    """

    def __init__(self, embedding: nn.Embedding, target: Perturbed, total: Total = ALONE.total) -> None:
        self.embedding = embedding
        self.target: Perturbed = target
        self.total = total

    def clean(self, loss_here: LossHere, scale: float, noise: Noise | None = None) -> CleanPass:
        """Run a whole forward and backward pass; weights get their gradients, and so does the site.

        Args:
            loss_here: The forward pass.
            scale: Multiplies all gradients.
            noise: Where to start if not at the clean point.
        """
        with self.watched(noise) as calls:
            loss = loss_here()
        (scale * loss).backward()
        site = self.site(calls)
        gradients = [call.embedded.grad for call in calls]
        found = [gradient for gradient in gradients if gradient is not None]
        if len(found) < len(gradients):
            raise RuntimeError("the loss does not depend on all the word embeddings that it reads")
        return CleanPass(loss.detach(), site, site.gather(found))

    @contextmanager
    def watched(self, noise: Noise | None = None) -> Iterator[list[Call]]:
        """Collect the calls of the embedding inside the block, where gradients can be read off them later."""
        calls: list[Call] = []

        def watch(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            embedded = output if noise is None else output + noise(inputs[0], output)
            embedded.retain_grad()
            calls.append(Call(inputs[0], embedded))
            return embedded

        with _hooked(self.embedding, watch):
            yield calls

    def site(self, calls: list[Call]) -> "Site":
        """Lay out the points of a batch.

        Raises:
            RuntimeError: The loss read no words.
        """
        if not calls:
            raise RuntimeError("the loss does not read the word embeddings")
        return Site(self.embedding, self.target, [call.ids for call in calls], self.total)


class Site:
    """The points of one batch that can move: an offset is `[points, width]`, float32.

    Points are the positions one behind the other (`positions`) or the batch's words (`table`). Points in one group
    share a norm. Padding never moves.
    """

    def __init__(
        self, embedding: nn.Embedding, target: Perturbed, ids: list[Tensor], total: Total = ALONE.total
    ) -> None:
        self.embedding = embedding
        self.total = total if target == "table" else ALONE.total
        self.shapes = [each.shape for each in ids]
        flat = torch.cat([each.flatten() for each in ids])
        self.word_of: Tensor | None = None
        if target == "table":
            # Marks in a vector of fixed length, which processes can add up, rather than `unique`.
            marks = torch.zeros(embedding.num_embeddings, device=flat.device).index_fill_(0, flat, 1.0)
            words = self.total(marks).nonzero().flatten()
            self.word_of = torch.searchsorted(words, flat)
            self.group = torch.zeros_like(words)
            self.groups = 1
        else:
            words = flat
            per_row = torch.tensor([each[0].numel() for each in ids for _ in range(len(each))], device=flat.device)
            self.group = torch.arange(len(per_row), device=flat.device).repeat_interleave(per_row)
            self.groups = len(per_row)
        self.real = None if embedding.padding_idx is None else words != embedding.padding_idx

    def gather(self, gradients: list[Tensor]) -> Tensor:
        """Gradient at the points `[points, width]` from that at each call's positions."""
        flat = torch.cat([gradient.detach().flatten(0, -2) for gradient in gradients]).float()
        if self.word_of is not None:
            flat = self.total(flat.new_zeros(len(self.group), flat.shape[1]).index_add_(0, self.word_of, flat))
        return self.still_padding(flat)

    def still_padding(self, offset: Tensor) -> Tensor:
        """The offset with zeros at padding."""
        return offset if self.real is None else offset * self.real[:, None]

    def norms(self, offset: Tensor) -> Tensor:
        """L2 norm of each point's group, `[points, 1]`."""
        squares = offset.square().sum(1)
        norms = squares.new_zeros(self.groups).index_add_(0, self.group, squares).sqrt()
        return norms[self.group, None]

    def direction(self, gradient: Tensor) -> Tensor:
        """Gradient over its norm; zero where the norm is, so that an example without gradient stays in place."""
        norms = self.norms(gradient)
        return torch.where(norms > 0, gradient / norms, torch.zeros_like(gradient))

    def project(self, offset: Tensor, radius: float) -> Tensor:
        """The nearest offset with norms of at most `radius`."""
        norms = self.norms(offset)
        return torch.where(norms > radius, offset * (radius / norms), offset)

    @contextmanager
    def moved(self, offset: Tensor) -> Iterator[None]:
        """Move the points by `offset` inside the block; gradients flow to it if it requires them."""
        pieces = self._spread(offset)

        def shift(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if not pieces:
                raise RuntimeError("the loss called the word embedding more often than in its clean pass")
            return output + pieces.pop(0)

        with _hooked(self.embedding, shift):
            yield

    def gradient(self, loss_here: LossHere, offset: Tensor, scale: float) -> Tensor:
        """Gradient of the scaled loss at `offset`, `[points, width]`, and of nothing else: no weight's is computed.

        The scale drops out of a direction, but for processes: it says how much of the batch each one's rows are.
        """
        leaf = offset.detach().requires_grad_()
        with self.moved(leaf):
            (gradient,) = torch.autograd.grad(scale * loss_here(), [leaf])
        return self.still_padding(self.total(gradient))

    def _spread(self, offset: Tensor) -> list[Tensor]:
        flat = offset if self.word_of is None else functional.embedding(self.word_of, offset)
        parts = flat.split([shape.numel() for shape in self.shapes])
        return [part.view(*shape, -1) for part, shape in zip(parts, self.shapes, strict=True)]


@contextmanager
def _hooked(embedding: nn.Embedding, hook: Hook) -> Iterator[None]:
    handle = embedding.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
