"""Students that teach each other (deep mutual learning, Zhang 2018)."""

from collections.abc import Sequence

from torch import Tensor

from polydx.distil.soft_targets import soft_target_divergence


def mutual_loss(logits: Sequence[Tensor]) -> Tensor:
    """Sum over students of the mean KL(peer || student) over its peers, each label a Bernoulli; mean over rows, labels.

    A peer's answer is a target: no gradient flows into it.

    Args:
        logits: `[batch, labels]` of each student, two at least.
    """
    terms = [
        soft_target_divergence(own, peer.detach(), 1.0) / (len(logits) - 1)
        for index, own in enumerate(logits)
        for other, peer in enumerate(logits)
        if other != index
    ]
    return sum(terms[1:], terms[0])
