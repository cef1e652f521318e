"""R-Drop."""

from torch import Tensor, nn

from polydx.train.perturbations.interface import LossHere
from polydx.train.perturbations.outputs import joined, outputs_of, symmetric_divergence


class RDrop:
    """R-Drop (Liang 2021): two dropout passes, mean of their losses plus alpha (KL(p || q) + KL(q || p)) / 2.

    For independent labels the KL is each label's Bernoulli KL. The paper sums the two losses; the mean keeps the size
    that learning rates are made for. Rows without labels take part in the divergence.

    Args:
        model: What the task calls for its logits.
        alpha: Weight of the divergence.
    """

    def __init__(self, model: nn.Module, alpha: float) -> None:
        self.model, self.alpha = model, alpha

    def backward(self, loss_here: LossHere, scale: float = 1.0) -> Tensor:
        """See `Perturbation`."""
        with outputs_of(self.model) as first:
            loss = loss_here()
        with outputs_of(self.model) as second:
            loss = (loss + loss_here()) / 2
        divergence = symmetric_divergence(joined(first), joined(second))
        (scale * (loss + self.alpha * divergence)).backward()
        return loss.detach()
