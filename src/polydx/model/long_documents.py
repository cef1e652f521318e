"""Encoders that read records longer than one sequence: in chunks, or in two streams.

A reader turns word embeddings into hidden states of the same places, whatever the length; the head above attends to all
of them. The embeddings are looked up once for the whole record, so that an adversary's perturbation has one norm a
record and not one a chunk.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from polydx.model.packing import Encode, encode_padded
from polydx.names import LongMode

STREAMS = 2


def encode_chunks(
    encoder: PreTrainedModel,
    embedded: Tensor,
    attention_mask: Tensor,
    chunk_tokens: int,
    encode: Encode = encode_padded,
) -> Tensor:
    """Encode each chunk by itself; chunks without a real token cost nothing.

    Args:
        encoder: Reads `chunk_tokens` tokens.
        embedded: `[batch, tokens, width]`, word embeddings; every `chunk_tokens` tokens are a chunk.
        attention_mask: `[batch, tokens]`, int64, 1 for real tokens.
        chunk_tokens: Tokens of a chunk, special tokens included.
        encode: How the chunks run through the encoder.

    Returns:
        `[batch, tokens, width]`, hidden states; zeros in empty chunks.
    """
    batch, tokens, width = embedded.shape
    length = min(chunk_tokens, tokens)
    missing = -tokens % length
    chunks = functional.pad(embedded, (0, 0, 0, missing)).reshape(-1, length, width)
    masks = functional.pad(attention_mask, (0, missing)).reshape(-1, length)
    filled = masks.any(dim=1).nonzero().squeeze(1)
    read = encode(encoder, chunks[filled], masks[filled])
    hidden = read.new_zeros(len(masks), length, width).index_copy(0, filled, read)
    return hidden.reshape(batch, tokens + missing, width)[:, :tokens]


class ChunkReader(nn.Module):
    """Chunks encoded one by one: cost grows linearly, any length can be read; the head's attention joins them."""

    def __init__(self, chunk_tokens: int) -> None:
        super().__init__()
        self.chunk_tokens = chunk_tokens

    def forward(
        self, encoder: PreTrainedModel, embedded: Tensor, attention_mask: Tensor, encode: Encode = encode_padded
    ) -> Tensor:
        """Hidden states of word embeddings, `[batch, tokens, width]` both; the mask is `[batch, tokens]`, int64."""
        return encode_chunks(encoder, embedded, attention_mask, self.chunk_tokens, encode)


class TwoStreamReader(nn.Module):
    """The first and the next `chunk_tokens` tokens, each through an encoder, joined by a small transformer over both.

    After the fifth place of the Huawei Cloud Cup 2022, whose head is the soft attention of `pooling: attention`. A
    learnt vector tells the streams apart.

    Attributes:
        second: The second stream's own encoder, started from the first's weights; None where one encoder reads both. It
            has no word embeddings: the first encoder's serve both streams.
        stream: `[2, width]`.
        joiner: Transformer layers of the encoder's width and heads, without dropout inside attention.
    """

    def __init__(
        self, encoder: PreTrainedModel, chunk_tokens: int, own_encoders: bool, layers: int, dropout: float
    ) -> None:
        super().__init__()
        width = encoder.config.hidden_size
        self.chunk_tokens = chunk_tokens
        self.second: PreTrainedModel | None = None
        if own_encoders:
            self.second = copy.deepcopy(encoder)
            self.second.set_input_embeddings(nn.Identity())
        self.stream = nn.Parameter(torch.empty(STREAMS, width))
        nn.init.normal_(self.stream, std=0.02)
        self.joiner = nn.ModuleList(_joining_layer(encoder, dropout) for _ in range(layers))

    def forward(
        self, encoder: PreTrainedModel, embedded: Tensor, attention_mask: Tensor, encode: Encode = encode_padded
    ) -> Tensor:
        """As `ChunkReader.forward`, of at most two chunks."""
        size, tokens = self.chunk_tokens, embedded.shape[1]
        if tokens > STREAMS * size:
            raise ValueError(f"{tokens} tokens are more than two streams of {size}")
        if self.second is None or tokens <= size:
            hidden = encode_chunks(encoder, embedded, attention_mask, size, encode)
        else:
            first = encode_chunks(encoder, embedded[:, :size], attention_mask[:, :size], size, encode)
            second = encode_chunks(self.second, embedded[:, size:], attention_mask[:, size:], size, encode)
            hidden = torch.cat([first, second], dim=1)
        stream = (torch.arange(tokens, device=embedded.device) >= size).long()
        hidden = hidden + self.stream[stream].to(hidden.dtype)
        for layer in self.joiner:
            hidden = layer(hidden, src_key_padding_mask=attention_mask == 0)
        return hidden


Reader = ChunkReader | TwoStreamReader


def new_reader(
    mode: LongMode, encoder: PreTrainedModel, chunk_tokens: int, own_encoders: bool, joiner_layers: int, dropout: float
) -> Reader | None:
    """Make the reader of a mode; None where a record is one sequence. The arguments are those of the readers."""
    match mode:
        case "chunks":
            return ChunkReader(chunk_tokens)
        case "two_streams":
            return TwoStreamReader(encoder, chunk_tokens, own_encoders, joiner_layers, dropout)
        case _:
            return None


def _joining_layer(encoder: PreTrainedModel, dropout: float) -> nn.TransformerEncoderLayer:
    config = encoder.config
    layer = nn.TransformerEncoderLayer(
        d_model=config.hidden_size,
        nhead=config.num_attention_heads,
        dim_feedforward=config.intermediate_size,
        dropout=dropout,
        activation="gelu",
        layer_norm_eps=config.layer_norm_eps,
        batch_first=True,
    )
    layer.self_attn.dropout = 0.0
    return layer
