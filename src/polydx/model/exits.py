"""Early exits: a head after each layer of a student, so that an easy record leaves before the last one.

The last exit is the student's own head. The folder stays a stock model: exits lie beside it in a file of their own,
which the library doesn't read.
"""

from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from polydx.artifacts import as_umask_allows
from polydx.errors import SHIP_AGAIN, UserError
from polydx.model.heads import PooledHead

EXITS_FILE = "exits.safetensors"


class Exits(nn.Module):
    """Heads after every layer but the last: the normalised mean of the tokens and one linear layer each.

    The first token of a lower layer has seen little yet; the mean of the tokens costs next to nothing. They stay fp32
    also over a student whose layers are bf16.

    Args:
        width: Of the student.
        labels: Number of labels.
        layers: Of the student, two at least.
        dropout: Before each head.
    """

    def __init__(self, width: int, labels: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.heads = nn.ModuleList(PooledHead(width, labels, "mean", dropout) for _ in range(layers - 1))

    def forward(self, hidden: Sequence[Tensor], attention_mask: Tensor) -> list[Tensor]:
        """Logits `[batch, labels]` after each layer.

        Args:
            hidden: `[batch, tokens, width]` that leaves each layer but the last.
            attention_mask: `[batch, tokens]`, 1 for real tokens.
        """
        return [head(states.float(), attention_mask).float() for head, states in zip(self.heads, hidden, strict=True)]


def save_exits(exits: Exits, folder: Path) -> None:
    """Write the heads beside a student's weights."""
    save_file({key: value.detach().cpu() for key, value in exits.state_dict().items()}, folder / EXITS_FILE)
    as_umask_allows(folder / EXITS_FILE)


def load_exits(folder: Path) -> Exits:
    """Read what `save_exits` wrote; in evaluation mode.

    Raises:
        UserError: The student has none, or they are damaged.
    """
    if not (folder / EXITS_FILE).is_file():
        raise UserError(str(folder), "is a student without early exits", "train it with distil.exits")
    try:
        weights = load_file(folder / EXITS_FILE)
        labels, width = weights["heads.0.weight"].shape
        exits = Exits(width, labels, len(weights) // 2 + 1, 0.0)
        exits.load_state_dict(weights)
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        problem = f"holds no readable exits ({type(error).__name__})"
        raise UserError(str(folder / EXITS_FILE), problem, SHIP_AGAIN) from error
    return exits.eval()
