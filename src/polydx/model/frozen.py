"""Lower layers that don't learn.

The lower layers of a pre-trained encoder know the language, which fine-tuning hardly changes: with three quarters of
the layers frozen nine tenths of the gain are left (Lee 2019, "What would Elsa do?"). Frozen, they need no backward
pass, and without dropout they make the same of a record in every epoch (`train/lower_states.py`).
"""

from torch import Tensor, nn
from transformers import PreTrainedModel

from polydx.errors import UserError
from polydx.model.attention import Attend, attend
from polydx.model.layers import embed, key_mask, layers_of, run_layer
from polydx.model.packing import Packing


def freeze_lower(encoder: PreTrainedModel, layers: int, setting: str) -> None:
    """Keep an encoder's embeddings and lowest layers as they are: no gradient, no dropout.

    Args:
        encoder: A `BertModel` or `ErnieModel`.
        layers: How many; 0 freezes the embeddings alone.
        setting: Named in the error.

    Raises:
        UserError: No layer would be left to train.
    """
    stack = layers_of(encoder)
    if layers >= len(stack):
        raise UserError(setting, f"is {layers}", f"leave a layer to train: stay below the encoder's {len(stack)}")
    frozen = frozen_part(encoder, layers)
    frozen.requires_grad_(requires_grad=False)
    for module in frozen.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def frozen_part(encoder: PreTrainedModel, layers: int) -> nn.ModuleList:
    """An encoder's embeddings and lowest `layers`: the modules themselves, no copies."""
    return nn.ModuleList([encoder.get_submodule("embeddings"), *layers_of(encoder)[:layers]])


def run_below(encoder: PreTrainedModel, layers: int, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """States `[batch, tokens, width]` after the lowest `layers` of an encoder; inputs are `[batch, tokens]`, int64."""
    return _run(layers_of(encoder)[:layers], embed(encoder, input_ids), attention_mask)


def run_above(
    encoder: PreTrainedModel, layers: int, lower: Tensor, attention_mask: Tensor, *, packed: bool = False
) -> Tensor:
    """Last hidden states `[batch, tokens, width]`, from those after the lowest `layers`.

    Args:
        encoder: A `BertModel` or `ErnieModel`.
        layers: How many are below.
        lower: `[batch, tokens, width]`, what they gave.
        attention_mask: `[batch, tokens]`, int64, 1 for real tokens.
        packed: Whether to leave out padding; see `model/packing.py`.
    """
    above = layers_of(encoder)[layers:]
    if not packed:
        return _run(above, lower, attention_mask)
    packing = Packing.of(attention_mask)
    return packing.unpack(_run(above, packing.pack(lower), attention_mask, packing.attend))


def _run(layers: list[nn.Module], hidden: Tensor, attention_mask: Tensor, kernel: Attend = attend) -> Tensor:
    mask = key_mask(attention_mask)
    for layer in layers:
        hidden = run_layer(layer, hidden, mask, kernel).hidden
    return hidden
