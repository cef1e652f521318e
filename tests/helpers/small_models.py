"""Tiny encoders with random weights, for tests that need a real one, and a dropout that draws nothing."""

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, ErnieConfig, ErnieModel, PreTrainedModel, PreTrainedTokenizerBase

from polydx.model.encoders import new_encoder, save_folder
from polydx.names import Architecture

SIZES = {
    "vocab_size": 30,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 16,
    "attention_probs_dropout_prob": 0.0,
}


def small_encoder(
    architecture: Architecture = "bert", *, seed: int = 0, **changes: int | float | str
) -> PreTrainedModel:
    """An encoder without pooling layer, in training mode; `changes` are entries of its config."""
    torch.manual_seed(seed)
    if architecture == "bert":
        return BertModel(BertConfig(**SIZES | changes), add_pooling_layer=False)
    return ErnieModel(ErnieConfig(**SIZES | changes), add_pooling_layer=False)


def write_small_encoder(
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    architecture: Architecture = "bert",
    *,
    layers: int = 1,
    hidden_size: int = 16,
    max_positions: int = 32,
    dropout: float = 0.1,
) -> None:
    """Write an encoder and its tokenizer as stage 4 does; torch's draws start anew from 0."""
    torch.manual_seed(0)
    encoder = new_encoder(
        architecture,
        vocabulary_size=len(tokenizer),
        layers=layers,
        hidden_size=hidden_size,
        heads=2,
        intermediate_size=2 * hidden_size,
        max_positions=max_positions,
        dropout=dropout,
    )
    save_folder(folder, encoder, tokenizer)


class EveryOther(nn.Module):
    """In place of dropout: even units of the first pass, odd ones of the second, and so on.

    Whatever the batch, and in every process that shares it, the same units are kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def forward(self, hidden: Tensor) -> Tensor:
        """`[..., units]` with half of the units doubled and the others 0."""
        kept = torch.arange(hidden.shape[-1]) % 2 == self.passes % 2
        self.passes += 1
        return 2 * kept * hidden
