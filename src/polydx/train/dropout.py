"""Dropout from random bytes, for CPUs: the library's draws a double for every entry, which takes 5% of a step."""

import torch
from torch import Tensor, nn

LEVELS = 256


class ByteDropout(nn.Dropout):
    """Dropout (Srivastava 2014) whose rate is a multiple of 1/256: 0.1 becomes 26/256.

    An entry is kept where its random byte is below 256 (1 - p), and divided by the share really kept, so that its
    expectation is exact. Draws come from torch's generator.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the library's name
        """Same shape and dtype; the input itself in evaluation mode."""
        kept = max(1, round((1 - self.p) * LEVELS))
        if not self.training or kept == LEVELS:
            return input
        words = torch.empty((input.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        mask = (words.view(torch.uint8)[: input.numel()] < kept).view(input.shape)
        return input * mask.to(input.dtype).mul_(LEVELS / kept)


def use_byte_dropout(model: nn.Module, device: torch.device) -> None:
    """Replace every dropout of a model that is trained on a CPU."""
    if device.type != "cpu":
        return
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout:
                setattr(parent, name, ByteDropout(child.p).train(child.training))
