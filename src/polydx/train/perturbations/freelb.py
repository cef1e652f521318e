"""FreeLB."""

import torch
from torch import Tensor

from polydx.train.perturbations.embeddings import EmbeddingPoint, Noise
from polydx.train.perturbations.interface import LossHere


class FreeLB:
    """FreeLB (Zhu 2020): the gradients of all K ascent steps are averaged into the update; there is no clean pass.

    The offset starts uniform in a cube of half-edge start_norm / sqrt(real positions x width), climbs by
    rate g / |g| and is projected to |r| <= max_norm, for each example by itself. As in the authors' code every step
    draws its own dropout masks.

    Args:
        point: Where to perturb, with target `positions`.
        steps: K.
        rate: Length of a step.
        start_norm: Size of the random start; 0 starts at the clean point.
        max_norm: Radius of the ball; 0 for none.

    Raises:
        ValueError: The point's target is the table: a random start for each position is none of its table.
    """

    def __init__(self, point: EmbeddingPoint, steps: int, rate: float, start_norm: float, max_norm: float) -> None:
        if point.target != "positions":
            raise ValueError(f"FreeLB perturbs positions, not the {point.target}")
        self.point, self.steps, self.rate = point, steps, rate
        self.start_norm, self.max_norm = start_norm, max_norm

    def backward(self, loss_here: LossHere, scale: float = 1.0) -> Tensor:
        """See `Perturbation`."""
        starts: list[Tensor] = []
        share = scale / self.steps
        total, site, gradient = self.point.clean(loss_here, share, self._noise(starts))
        offset = torch.cat([start.flatten(0, -2) for start in starts])
        for _ in range(self.steps - 1):
            offset = offset + self.rate * site.direction(gradient)
            if self.max_norm > 0:
                offset = site.project(offset, self.max_norm)
            leaf = offset.detach().requires_grad_()
            with site.moved(leaf):
                loss = loss_here()
            # The last offset's gradient goes unused; it costs nothing, for the pass reaches the embedding anyway.
            (share * loss).backward()
            gradient = site.still_padding(leaf.grad if leaf.grad is not None else torch.zeros_like(leaf))
            total = total + loss.detach()
        return total / self.steps

    def _noise(self, starts: list[Tensor]) -> Noise:
        padding = self.point.embedding.padding_idx

        def start(ids: Tensor, embedded: Tensor) -> Tensor:
            real = torch.ones_like(ids) if padding is None else (ids != padding).long()
            size = self.start_norm / (real.sum(1, keepdim=True).clamp_min(1) * embedded.shape[-1]).sqrt()
            drawn = torch.empty_like(embedded, dtype=torch.float32).uniform_(-1, 1)
            starts.append(drawn * (size * real)[..., None])
            return starts[-1]

        return start
