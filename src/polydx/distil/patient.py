"""Patient distillation: the first token's states, layer by layer (PKD, Sun 2019)."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional


def patient_loss(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """||h_s / ||h_s|| - h_t / ||h_t|| ||^2 of the first token; mean over rows and layers, in [0, 4].

    Args:
        student: Hidden states `[batch, tokens, width]` of the layers that learn.
        teacher: Of the layers that teach, as many and as wide.

    Raises:
        ValueError: The numbers of layers differ.
    """
    terms = [
        (functional.normalize(learns[:, 0], dim=-1) - functional.normalize(teaches[:, 0], dim=-1)).square().sum(-1)
        for learns, teaches in zip(student, teacher, strict=True)
    ]
    return sum(terms[1:], terms[0]).mean() / len(terms)
