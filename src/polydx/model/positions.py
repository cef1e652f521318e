"""Encoders of learned positions, made to read longer sequences than they were trained at."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

Extension = Literal["interpolated", "tiled"]


def extended_table(table: Tensor, positions: int, extension: Extension) -> Tensor:
    """Stretch or repeat a table of positions.

    Args:
        table: `[n, width]`.
        positions: Rows wanted, at least n.
        extension: `interpolated`: the n rows spread evenly over the new length, straight lines between them; order is
            kept over the whole, neighbours move closer, so it wants some training. `tiled`: the n rows again and again
            (Longformer, Beltagy 2020); the first n and all near distances stay as trained, but a place n further on
            looks the same. A part of a table that training never reached is repeated as well as the rest.

    Returns:
        `[positions, width]`; the first row, and with `tiled` the first n rows, are bit-identical.
    """
    if positions < len(table):
        raise ValueError(f"{positions} positions would shorten a table of {len(table)}")
    if extension == "tiled":
        return table.repeat(-(-positions // len(table)), 1)[:positions]
    stretched = functional.interpolate(table.t()[None], size=positions, mode="linear", align_corners=True)
    return stretched[0].t().contiguous()


@torch.no_grad()
def extend_positions(encoder: PreTrainedModel, positions: int, extension: Extension) -> None:
    """Give an encoder at least so many positions, in place; what it saves then carries them.

    Args:
        encoder: A `BertModel` or `ErnieModel`; one that has enough positions stays as it is.
        positions: Longest sequence it shall read, in tokens.
        extension: See `extended_table`.
    """
    if positions <= encoder.config.max_position_embeddings:
        return
    embeddings = encoder.get_submodule("embeddings")
    old = embeddings.get_submodule("position_embeddings")
    if not isinstance(old, nn.Embedding):
        raise TypeError(f"{type(encoder).__name__} has no table of positions")
    new = nn.Embedding(positions, old.embedding_dim, device=old.weight.device, dtype=old.weight.dtype)
    new.weight.copy_(extended_table(old.weight, positions, extension))
    embeddings.register_module("position_embeddings", new)
    places = torch.arange(positions, device=old.weight.device).expand(1, -1)
    embeddings.register_buffer("position_ids", places, persistent=False)
    embeddings.register_buffer("token_type_ids", torch.zeros_like(places), persistent=False)
    encoder.config.max_position_embeddings = positions
