"""AWP."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from polydx.train.perturbations.interface import LossHere
from polydx.train.perturbations.weights import backward_at


class AWP:
    """Adversarial weight perturbation (Wu 2020): gradients from weights moved uphill, relative to their own norm.

    Each weight matrix moves by rate |w| g / |g|, no entry by more than epsilon times its size (as contest code has it;
    the paper bounds the norm of each matrix's move instead). Biases and norms stay. The gradients found there take the
    place of the clean ones.

    Args:
        parameters: The model's; those of less than two dimensions are left out.
        rate: Length of the step, as a share of the norm.
        epsilon: Largest change of an entry, as a share of its size.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], rate: float, epsilon: float) -> None:
        self.matrices = [parameter for parameter in parameters if parameter.requires_grad and parameter.ndim > 1]
        self.rate, self.epsilon = rate, epsilon

    def backward(self, loss_here: LossHere, scale: float = 1.0) -> Tensor:
        """See `Perturbation`."""
        return backward_at(self._offsets, self.matrices, loss_here, scale)

    def _offsets(self, weights: Sequence[Tensor], slopes: Sequence[Tensor]) -> Iterator[Tensor]:
        for weight, slope in zip(weights, slopes, strict=True):
            norm = torch.linalg.vector_norm(slope)
            step = torch.where(norm > 0, self.rate * torch.linalg.vector_norm(weight) / norm, torch.zeros_like(norm))
            bound = self.epsilon * weight.abs()
            yield torch.minimum(torch.maximum(step * slope, -bound), bound)
