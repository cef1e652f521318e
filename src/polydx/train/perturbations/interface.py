"""What the training loop and a perturbation know of each other."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

LossHere = Callable[[], Tensor]
"""Runs the forward pass on the current batch at the current point, with new dropout masks; scalar loss."""


class Perturbation(Protocol):
    """What the training loop calls instead of `loss.backward()`.

    Every implementation leaves the weights bit by bit as they were, also when a pass raises; adds to `.grad` and never
    reads or clears it, so that batches accumulate and gradients can be averaged over devices; and takes directions from
    this batch's own gradient alone. With a norm for each example (`positions`) the sum over accumulated batches, or
    the mean over devices, is then what one large batch gives. Where one norm spans the batch (`table`, AWP, SAM), each
    part of it moves its own way. Devices must average gradients after `backward`, not by hooks inside it: those would
    wait for weight gradients that the inner passes of PGD and VAT never compute.
    """

    def backward(self, loss_here: LossHere, scale: float = 1.0) -> Tensor:
        """Add this step's gradients to `.grad`.

        Args:
            loss_here: The forward pass.
            scale: Multiplies all gradients: 1 / n in each of n batches that accumulate to one.

        Returns:
            The loss before any perturbation (FreeLB: the mean over its steps; R-Drop: over its two passes), detached,
            without `scale` and without what R-Drop and VAT add to it.
        """
