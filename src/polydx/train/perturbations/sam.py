"""SAM."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from polydx.train.perturbations.interface import LossHere
from polydx.train.perturbations.weights import backward_at


class SAM:
    """Sharpness-aware minimisation (Foret 2021): the gradient at w + rho g / |g| updates w, in place of the clean one.

    One norm over all weights. Accumulated batches, or batches on several devices, climb each by its own gradient: the
    paper's m-sharpness.

    Args:
        parameters: The model's.
        rho: Length of the ascent.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], rho: float) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.rho = rho

    def backward(self, loss_here: LossHere, scale: float = 1.0) -> Tensor:
        """See `Perturbation`."""
        return backward_at(self._offsets, self.parameters, loss_here, scale)

    def _offsets(self, _weights: Sequence[Tensor], slopes: Sequence[Tensor]) -> Iterator[Tensor]:
        norm = torch.nn.utils.get_total_norm(slopes)
        step = torch.where(norm > 0, self.rho / norm, torch.zeros_like(norm))
        for slope in slopes:
            yield step * slope
