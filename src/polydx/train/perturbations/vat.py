"""VAT."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from polydx.train.perturbations.embeddings import EmbeddingPoint
from polydx.train.perturbations.interface import LossHere
from polydx.train.perturbations.outputs import bernoulli_divergence, joined, outputs_of


class VAT:
    """Virtual adversarial training (Miyato 2015): the loss plus weight x KL(p(x) || p(x + r)), p(x) held fixed.

    r = epsilon d / |d| points where the answers change fastest: d starts random, and each power iteration replaces it
    by the gradient of the divergence at xi d. No label is used, so all rows of a batch take part. The perturbed passes
    repeat the clean pass's dropout masks: otherwise the masks, not r, would make the difference.

    Args:
        model: What the task calls for its logits.
        point: Where to perturb.
        xi: Length of the probe.
        epsilon: Norm of r.
        iterations: Power iterations.
        weight: Of the divergence.
    """

    def __init__(
        self, model: nn.Module, point: EmbeddingPoint, xi: float, epsilon: float, iterations: int, weight: float
    ) -> None:
        self.model, self.point = model, point
        self.xi, self.epsilon, self.iterations, self.weight = xi, epsilon, iterations, weight

    def backward(self, loss_here: LossHere, scale: float = 1.0) -> Tensor:
        """See `Perturbation`."""
        device = self.point.embedding.weight.device
        masks = _random_state(device)
        with self.point.watched() as calls, outputs_of(self.model) as found:
            loss = loss_here()
        (scale * loss).backward()
        site, reference = self.point.site(calls), joined(found).detach()

        def divergence_here() -> Tensor:
            with _repeated(masks, device), outputs_of(self.model) as moved:
                loss_here()
            return bernoulli_divergence(reference, joined(moved))

        # A sum of normal draws is one: so processes that move the same words probe the same way.
        probe = site.total(torch.randn(len(site.group), self.point.embedding.embedding_dim, device=device))
        for _ in range(self.iterations):
            offset = self.xi * site.direction(site.still_padding(probe))
            probe = site.gradient(divergence_here, offset, scale)
        with site.moved(self.epsilon * site.direction(probe)):
            (scale * self.weight * divergence_here()).backward()
        return loss.detach()


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


@contextmanager
def _repeated(state: Tensor, device: torch.device) -> Iterator[None]:
    """Draw inside the block as from `state`; outside, the draws go on as if there had been no block."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        if device.type == "cuda":
            torch.cuda.set_rng_state(state, device)
        else:
            torch.set_rng_state(state)
        yield
