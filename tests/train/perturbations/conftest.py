"""A tiny model whose every step can be written out, and the two ways to take a gradient there."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

IDS = torch.tensor([[1, 4, 4, 9], [2, 0, 7, 3], [5, 5, 6, 0], [8, 1, 0, 0]])
"""0 is padding."""
TARGETS = torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, 0, 1], [1, 1, 0]])


class TinyModel(nn.Module):
    """An embedding, a nonlinear layer, dropout, a mean over positions that are no padding, a head."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.embedding = nn.Embedding(11, 6, padding_idx=0)
        self.hidden = nn.Linear(6, 8)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.above(self.embedding(ids), ids)

    def above(self, embedded: Tensor, ids: Tensor) -> Tensor:
        """Logits from embedded positions."""
        real = (ids != 0)[..., None]
        hidden = self.dropout(torch.tanh(self.hidden(embedded))) * real
        return self.head(hidden.sum(1) / real.sum(1))


@dataclass
class Tiny:
    """A model, and the loss of some rows of the batch."""

    model: TinyModel
    ids: Tensor = field(default_factory=lambda: IDS)
    targets: Tensor = field(default_factory=lambda: TARGETS)

    def loss(self, rows: slice = slice(None)) -> Tensor:
        return functional.binary_cross_entropy_with_logits(self.model(IDS[rows]), TARGETS[rows])

    def loss_moved(self, offset: Tensor) -> Tensor:
        """The loss with embedded positions moved by `[rows, positions, width]`."""
        logits = self.model.above(self.model.embedding(IDS) + offset, IDS)
        return functional.binary_cross_entropy_with_logits(logits, TARGETS)

    def gradients(self) -> dict[str, Tensor]:
        return {name: parameter.grad.clone() for name, parameter in self.model.named_parameters()}

    def weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def gradients_of(self, loss: Tensor) -> dict[str, Tensor]:
        """Gradients of a loss, beside what `.grad` holds."""
        named = dict(self.model.named_parameters())
        found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        return {
            name: torch.zeros_like(named[name]) if gradient is None else gradient
            for name, gradient in zip(named, found, strict=True)
        }


@pytest.fixture
def new_tiny() -> Callable[..., Tiny]:
    """Makes models that are all alike."""
    return lambda dropout=0.0: Tiny(TinyModel(dropout))


@pytest.fixture
def tiny(new_tiny: Callable[..., Tiny]) -> Tiny:
    """One without dropout."""
    return new_tiny()


@pytest.fixture
def ids() -> Tensor:
    """The ids of the batch, `[4, 4]`."""
    return IDS


@pytest.fixture
def equal() -> Callable[[dict[str, Tensor], dict[str, Tensor]], None]:
    """Asserts that named tensors agree to 1e-6."""

    def check(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
        assert found.keys() == expected.keys()
        for name, tensor in found.items():
            torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-6)

    return check
