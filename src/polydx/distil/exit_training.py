"""What early exits learn: the student's own lesson, the last exit's answer, or each other's."""

from collections.abc import Callable, Sequence

from torch import Tensor

from polydx.distil.peers import mutual_loss
from polydx.distil.soft_targets import soft_target_divergence
from polydx.names import ExitTraining


def joint_loss(exits: Sequence[Tensor], taught: Callable[[Tensor], Tensor]) -> Tensor:
    """Sum over exits of their losses, the last one's own standing beside it (BranchyNet, Teerapittayanon 2016).

    All exits weigh the same: PABEE's weights grow with depth, and half of the rows are to leave before the middle.

    Args:
        exits: Logits `[batch, labels]` after each layer but the last.
        taught: The loss of one exit's logits.
    """
    terms = [taught(logits) for logits in exits]
    return sum(terms[1:], terms[0])


def self_loss(exits: Sequence[Tensor], last: Tensor) -> Tensor:
    """Self-distillation (FastBERT, Liu 2020): KL(last || exit) of each label, sum over exits, mean over rows, labels.

    FastBERT's code takes this direction, as soft targets do; its paper prints the student first, KL(exit || last).
    No gradient flows into the last exit. FastBERT freezes the trunk for it; hand in exits of detached states.

    Args:
        exits: Logits `[batch, labels]` after each layer but the last.
        last: Logits of the last exit.
    """
    return joint_loss(exits, lambda logits: soft_target_divergence(logits, last.detach(), 1.0))


def exit_loss(
    training: ExitTraining, exits: Sequence[Tensor], last: Tensor, taught: Callable[[Tensor], Tensor]
) -> Tensor:
    """What the exits add to the loss; `mutual` is `joint`, and all exits teach each other (LeeBERT, Zhu 2021)."""
    if training == "self":
        return self_loss(exits, last)
    loss = joint_loss(exits, taught)
    return loss + mutual_loss([*exits, last]) if training == "mutual" else loss
