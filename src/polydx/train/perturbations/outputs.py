"""The logits behind a loss, and how far two sets of them are apart."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional


@contextmanager
def outputs_of(model: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what a model gives inside the block, float32: the task's loss needs no second door for its logits."""
    outputs: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        outputs.append(output.float())

    handle = model.register_forward_hook(keep)
    try:
        yield outputs
    finally:
        handle.remove()


def joined(outputs: list[Tensor]) -> Tensor:
    """All rows of the collected logits, `[rows, labels]`.

    Raises:
        RuntimeError: The model was not called.
    """
    if not outputs:
        raise RuntimeError("the loss did not call the model whose logits are compared")
    return torch.cat(outputs)


def bernoulli_divergence(reference: Tensor, logits: Tensor) -> Tensor:
    """KL(p || q) of independent answers, p and q the sigmoids of two sets of logits; mean over rows and labels.

    The mean, not the sum, over labels: it stands beside BCE, which is one too.

    Args:
        reference: `[rows, labels]`, of p.
        logits: `[rows, labels]`, of q.

    Returns:
        Scalar, at least 0.
    """
    probabilities = reference.sigmoid()
    return functional.binary_cross_entropy_with_logits(
        logits, probabilities
    ) - functional.binary_cross_entropy_with_logits(reference, probabilities)


def symmetric_divergence(first: Tensor, second: Tensor) -> Tensor:
    """(KL(p || q) + KL(q || p)) / 2 of independent answers, mean over rows and labels.

    Written out, the logarithms of the normalisers cancel: (p - q) (logit p - logit q) / 2.

    Args:
        first: `[rows, labels]`, logits of p.
        second: `[rows, labels]`, logits of q.

    Returns:
        Scalar, at least 0.
    """
    return ((first.sigmoid() - second.sigmoid()) * (first - second)).mean() / 2
