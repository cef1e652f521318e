"""Heads over an encoder's hidden states: pooled tokens and one linear layer, or one attention a label."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from polydx.artifacts import Floats

MEAN_SCALE = 10.0
"""The normalised mean has length 1; times this its entries have the size a head's default weights are made for."""

Pooling = Literal["first", "mean", "label_attention"]


class PooledHead(nn.Module):
    """First token, or L2-normalised mean of all tokens times `MEAN_SCALE`; dropout; linear layer."""

    def __init__(self, width: int, labels: int, pooling: Literal["first", "mean"], dropout: float) -> None:
        super().__init__()
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.weight = nn.Parameter(torch.empty(labels, width))
        self.bias = nn.Parameter(torch.zeros(labels))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits `[batch, labels]` from hidden states `[batch, tokens, width]` and a mask `[batch, tokens]`."""
        if self.pooling == "first":
            pooled = hidden[:, 0]
        else:
            mask = attention_mask[..., None].to(hidden.dtype)
            pooled = MEAN_SCALE * functional.normalize((hidden * mask).sum(1), dim=-1)
        return functional.linear(self.dropout(pooled), self.weight, self.bias)


class LabelAttentionHead(nn.Module):
    """Each label attends to the tokens by a query of its own (CAML, Mullenbach 2018): where a long record tells of it.

    With H the hidden states: a = softmax(H q_l) over tokens, logit_l = w_l . (a H) + b_l.
    """

    def __init__(self, width: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.query = nn.Parameter(torch.empty(labels, width))
        self.weight = nn.Parameter(torch.empty(labels, width))
        self.bias = nn.Parameter(torch.zeros(labels))
        nn.init.normal_(self.query, std=width**-0.5)
        nn.init.normal_(self.weight, std=0.05)

    def forward(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits `[batch, labels]` from hidden states `[batch, tokens, width]` and a mask `[batch, tokens]`."""
        hidden = self.dropout(hidden)
        scores = functional.linear(hidden, self.query).transpose(1, 2)
        attention = scores.masked_fill(attention_mask[:, None] == 0, float("-inf")).softmax(-1)
        return ((attention @ hidden) * self.weight).sum(-1) + self.bias


def new_head(width: int, labels: int, pooling: Pooling, dropout: float) -> PooledHead | LabelAttentionHead:
    """Make the head that a setting names, its weights drawn from torch's generator."""
    if pooling == "label_attention":
        return LabelAttentionHead(width, labels, dropout)
    return PooledHead(width, labels, pooling, dropout)


@torch.no_grad()
def start_at_rates(bias: nn.Parameter, targets: Floats) -> None:
    """Set a head's bias to the log-odds of each label's rate, so that no step is spent on learning the rates.

    The prior of Lin 2017 (focal loss, section 3.3), for each label by itself; half a row is added to either side.

    Args:
        bias: `[labels]`.
        targets: `[rows, labels]` in [0, 1], of the rows that the model trains on.
    """
    positives = torch.from_numpy(targets.sum(axis=0)) + 0.5
    bias.copy_(torch.log(positives / (len(targets) + 1 - positives)))
