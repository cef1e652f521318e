"""Value and direction of activations (multiresolution distillation): how large, and which way."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class ValueAndDirection(nn.Module):
    """MSE + r (1 - cosine) of flattened activations, mean over rows.

    r is set once, at the first batch, so that both parts start equally large; it is a buffer, hence part of a
    checkpoint.
    """

    ratio: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("ratio", torch.tensor(0.0))

    def forward(self, student: Tensor, teacher: Tensor, attention_mask: Tensor) -> Tensor:
        """Scalar loss.

        Args:
            student: `[batch, tokens, width]`, projected where the widths differed.
            teacher: The same shape.
            attention_mask: `[batch, tokens]`, 1 for real tokens; the others count as zeros.
        """
        real = attention_mask[..., None].to(student.dtype)
        learns, teaches = (student * real).flatten(1), (teacher * real).flatten(1)
        value = ((learns - teaches).square().sum(1) / (real.sum((1, 2)) * student.shape[-1])).mean()
        direction = (1 - functional.cosine_similarity(learns, teaches, dim=1)).mean()
        if self.ratio == 0:
            smallest = torch.finfo(direction.dtype).eps
            self.ratio = (value / direction.clamp_min(smallest)).detach().clamp_min(smallest)
        return value + self.ratio * direction
