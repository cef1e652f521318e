"""What early exits learn: the student's own lesson, the last exit's answer, or each other's."""

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor

from polydx.distil.peers import mutual_loss
from polydx.distil.soft_targets import soft_target_divergence

ExitTraining = Literal["none", "joint", "self", "mutual"]


def joint_loss(exits: Sequence[Tensor], taught: Callable[[Tensor], Tensor]) -> Tensor:
    """Sum over exits of i L_i / sum of all i, the last one's own loss standing beside it (PABEE, Zhou 2020).

    Args:
        exits: Logits `[batch, labels]` after each layer but the last; layers count from i = 1.
        taught: The loss that the last exit learns from, of logits.
    """
    depths = range(1, len(exits) + 1)
    weighted = [depth * taught(logits) for depth, logits in zip(depths, exits, strict=True)]
    return sum(weighted[1:], weighted[0]) / sum(depths)


def self_loss(exits: Sequence[Tensor], last: Tensor) -> Tensor:
    """Self-distillation (FastBERT, Liu 2020): KL(last || exit) of each label, sum over exits, mean over rows, labels.

    No gradient flows into the last exit. FastBERT freezes the trunk for it; hand in exits of detached states.

    Args:
        exits: Logits `[batch, labels]` after each layer but the last.
        last: Logits of the last exit.
    """
    terms = [soft_target_divergence(logits, last.detach(), 1.0) for logits in exits]
    return sum(terms[1:], terms[0])


def exit_loss(
    training: ExitTraining, exits: Sequence[Tensor], last: Tensor, taught: Callable[[Tensor], Tensor]
) -> Tensor:
    """What the exits add to the loss; `mutual` is `joint`, and all exits teach each other (LeeBERT, Zhu 2021)."""
    if training == "self":
        return self_loss(exits, last)
    loss = joint_loss(exits, taught)
    return loss + mutual_loss([*exits, last]) / (len(exits) + 1) if training == "mutual" else loss
