"""Batches without padding: all real tokens of a batch run through an encoder's layers as one row.

A record attends to itself alone, by variable-length attention (`attention.attend_packed`), and its tokens keep the
positions that they have in a padded batch, so that states and gradients are the same. What stands before and after the
layers sees padded batches: word embeddings, so that perturbations move and norm what they do anyway, and heads.

It is for GPUs. Elsewhere there is no kernel for it, and in batches sorted by length only 1 to 3% is padding.
"""

from collections.abc import Callable
from typing import NamedTuple, Self

import torch
from torch import Tensor
from transformers import PreTrainedModel

from polydx.model.attention import ATTEND, attend_packed

Encode = Callable[[PreTrainedModel, Tensor, Tensor], Tensor]
"""Last hidden states from an encoder, word embeddings and a mask: `encode_padded` or `encode_packed`."""


class Packing(NamedTuple):
    """Where the real tokens of a padded batch lie.

    Attributes:
        places: `[real tokens]`, int64, of each in the flattened batch, rising.
        positions: `[real tokens]`, int64, of each in its record.
        bounds: `[batch + 1]`, int32: record i is the real tokens from `bounds[i]` to before `bounds[i + 1]`.
        batch: Records, padded.
        tokens: Tokens of a padded record: no record has more.
    """

    places: Tensor
    positions: Tensor
    bounds: Tensor
    batch: int
    tokens: int

    @classmethod
    def of(cls, attention_mask: Tensor) -> Self:
        """Read it off a mask, `[batch, tokens]`, 1 for real tokens, wherever they stand; a record may have none."""
        batch, tokens = attention_mask.shape
        places = attention_mask.flatten().nonzero().squeeze(1)
        ends = attention_mask.bool().sum(1).cumsum(0, dtype=torch.int32)
        return cls(places, places % tokens, torch.cat([ends.new_zeros(1), ends]), batch, tokens)

    def pack(self, padded: Tensor) -> Tensor:
        """`[batch, tokens, width]` to `[1, real tokens, width]`."""
        return padded.flatten(0, 1).index_select(0, self.places)[None]

    def unpack(self, packed: Tensor) -> Tensor:
        """`[1, real tokens, width]` to `[batch, tokens, width]`, zeros at padding."""
        padded = packed.new_zeros(self.batch * self.tokens, packed.shape[2])
        return padded.index_copy(0, self.places, packed[0]).view(self.batch, self.tokens, -1)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, _mask: Tensor | None) -> Tensor:
        """`attend_packed` as an `Attend`; what is packed needs no mask."""
        return attend_packed(query, key, value, self.bounds, self.tokens)


def encode_padded(encoder: PreTrainedModel, embedded: Tensor, attention_mask: Tensor) -> Tensor:
    """Run an encoder over a batch as it is.

    Args:
        encoder: From `load_encoder`.
        embedded: `[batch, tokens, width]`, word embeddings.
        attention_mask: `[batch, tokens]`, int64, 1 for real tokens.

    Returns:
        `[batch, tokens, width]`, last hidden states.
    """
    hidden: Tensor = encoder(inputs_embeds=embedded, attention_mask=attention_mask).last_hidden_state
    return hidden


def encode_packed(encoder: PreTrainedModel, embedded: Tensor, attention_mask: Tensor) -> Tensor:
    """`encode_padded` without computing anything for padding, whose states are zeros.

    Raises:
        ValueError: The encoder doesn't attend by `use_own_attention`: it would mix the records.
    """
    if encoder.config._attn_implementation != ATTEND:
        raise ValueError(f"an encoder that attends by {encoder.config._attn_implementation} can't read packed records")
    packing = Packing.of(attention_mask)
    hidden: Tensor = encoder(
        inputs_embeds=packing.pack(embedded),
        position_ids=packing.positions[None],
        cu_seq_lens_q=packing.bounds,
        max_length_q=packing.tokens,
    ).last_hidden_state
    return packing.unpack(hidden)
