"""Soft targets for independent labels (Hinton 2015, with a sigmoid for each label in place of one softmax)."""

import numpy as np
from torch import Tensor
from torch.nn import functional

from polydx.artifacts import Floats

SUREST = 1e-6
"""Teacher probabilities are clipped this far from 0 and 1, so that their logits stay within 13.8."""


def teacher_logits(probabilities: Floats) -> Floats:
    """Logits log(p / (1 - p)) of clipped probabilities, same shape, float32."""
    clipped = np.clip(probabilities.astype(np.float64), SUREST, 1 - SUREST)
    logits: Floats = (np.log(clipped) - np.log1p(-clipped)).astype(np.float32)
    return logits


def soft_target_loss(
    logits: Tensor, taught: Tensor, temperature: float | Tensor, side_weights: Tensor | None = None
) -> Tensor:
    """T^2 BCE(sigmoid(z_s / T), sigmoid(z_t / T)), mean over rows and labels.

    T^2 keeps the gradient's size the same at every temperature. The least value, reached at z_s = z_t, is T^2 times the
    entropy of the teacher's tempered answer, not 0. Side weights a (absent) and b (present) move it to
    z_s = z_t + T log(b / a): who misses a present label pays more, and answers higher than its teacher.

    Args:
        logits: `[batch, labels]`, float32, of the student (z_s).
        taught: `[batch, labels]`, float32, logits of the teacher (z_t).
        temperature: T, above 0; a tensor of no dimension where it is learned.
        side_weights: `[2, labels]`, above 0, what the absent and the present side of each label weigh (as Chen 2017
            weighs the classes of a detector's soft loss); None weighs both 1.
    """
    targets = (taught / temperature).sigmoid()
    # BCE knows a weight of the present side; one of both sides, times it, gives the absent side its own.
    absent, ratio = (None, None) if side_weights is None else (side_weights[0], side_weights[1] / side_weights[0])
    return temperature**2 * functional.binary_cross_entropy_with_logits(
        logits / temperature, targets, weight=absent, pos_weight=ratio
    )


def soft_target_divergence(
    logits: Tensor, taught: Tensor, temperature: float | Tensor, side_weights: Tensor | None = None
) -> Tensor:
    """`soft_target_loss` less its least value; without side weights T^2 KL(teacher || student) of the tempered answers.

    The student's gradient is the same. The temperature's is not: without the teacher's entropy, which grows with T by
    itself, it tells where the two differ most.
    """
    best = taught if side_weights is None else taught + temperature * (side_weights[1] / side_weights[0]).log()
    loss = soft_target_loss(logits, taught, temperature, side_weights)
    return loss - soft_target_loss(best, taught, temperature, side_weights)
