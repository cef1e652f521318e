"""What the training loop and a perturbation know of each other."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

LossHere = Callable[[], Tensor]
"""Runs the forward pass on the current batch at the current point, with new dropout masks; scalar loss."""
Backward = Callable[[LossHere, float], Tensor]
"""`Perturbation.backward`, or `plain_backward`."""


class Perturbation(Protocol):
    """What the training loop calls instead of `loss.backward()`.

    Every implementation leaves the weights bit by bit as they were, also when a pass raises; adds to `.grad` and never
    reads or clears it, so that micro-batches accumulate and gradients can be summed over processes; and takes
    directions from this batch's own gradient alone. With a norm for each example (`positions`) the sum over
    micro-batches, or over processes, is then what one large batch gives. Where one norm spans the batch, each
    micro-batch moves its own way; processes share the norm of the `table`, while under AWP and SAM each moves the
    weights its own way. Processes must sum gradients after `backward`, not by hooks inside it: those would wait for
    weight gradients that the inner passes of PGD and VAT never compute.
    """

    def backward(self, loss_here: LossHere, scale: float = 1.0) -> Tensor:
        """Add this step's gradients to `.grad`.

        Args:
            loss_here: The forward pass.
            scale: Multiplies all gradients: this part's share of the rows, where batches accumulate to one or processes
                share one.

        Returns:
            The loss before any perturbation (FreeLB: the mean over its steps; R-Drop: over its two passes), detached,
            without `scale` and without what R-Drop and VAT add to it.
        """


def plain_backward(loss_here: LossHere, scale: float = 1.0) -> Tensor:
    """A step without perturbation, as `Perturbation.backward`."""
    loss = loss_here()
    (scale * loss).backward()
    return loss.detach()
