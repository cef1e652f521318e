"""FGM."""

from torch import Tensor

from polydx.train.perturbations.embeddings import EmbeddingPoint
from polydx.train.perturbations.interface import LossHere


class FGM:
    """Fast gradient method (Miyato 2017): r = epsilon g / |g|; the gradients there add to the clean ones.

    Args:
        point: Where to perturb.
        epsilon: Norm of the perturbation.
    """

    def __init__(self, point: EmbeddingPoint, epsilon: float) -> None:
        self.point, self.epsilon = point, epsilon

    def backward(self, loss_here: LossHere, scale: float = 1.0) -> Tensor:
        """See `Perturbation`."""
        loss, site, gradient = self.point.clean(loss_here, scale)
        with site.moved(self.epsilon * site.direction(gradient)):
            (scale * loss_here()).backward()
        return loss
