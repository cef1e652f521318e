"""PGD."""

import torch
from torch import Tensor

from polydx.train.perturbations.embeddings import EmbeddingPoint
from polydx.train.perturbations.interface import LossHere


class PGD:
    """Projected gradient descent (Madry 2018): K steps of alpha g / |g| inside the ball |r| <= epsilon.

    The last step's gradients add to the clean ones. The steps before it need the offset's gradient only, so no weight's
    is computed there, and the clean gradients need no saving.

    Args:
        point: Where to perturb.
        epsilon: Radius of the ball.
        alpha: Length of a step.
        steps: K.
    """

    def __init__(self, point: EmbeddingPoint, epsilon: float, alpha: float, steps: int) -> None:
        self.point, self.epsilon, self.alpha, self.steps = point, epsilon, alpha, steps

    def backward(self, loss_here: LossHere, scale: float = 1.0) -> Tensor:
        """See `Perturbation`."""
        loss, site, gradient = self.point.clean(loss_here, scale)
        offset = torch.zeros_like(gradient)
        for step in range(self.steps):
            if step > 0:
                gradient = site.gradient(loss_here, offset, scale)
            offset = site.project(offset + self.alpha * site.direction(gradient), self.epsilon)
        with site.moved(offset):
            (scale * loss_here()).backward()
        return loss
