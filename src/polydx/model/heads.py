"""Heads over an encoder's hidden states: pooled tokens and a linear layer, one attention a label, one network a label.

Every head takes hidden states `[batch, tokens, width]` with a mask `[batch, tokens]`, 1 for real tokens, and gives
logits `[batch, labels]`; padding changes nothing. Its `bias`, `[labels]`, is where the labels' rates enter. The tokens
may come from one sequence or from many chunks (`model/long_documents.py`): `laat` over chunks is PLM-ICD (Huang 2022).
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from polydx.artifacts import Floats
from polydx.model.label_rates import log_odds
from polydx.names import Pooling

MEAN_SCALE = 10.0
"""The normalised mean has length 1; times this its entries have the size a head's default weights are made for."""
BINARY_UNITS = 32
"""Hidden units of each label's own network."""
LAAT_STD = 0.03
"""Spread of LAAT's starting weights, as in its authors' code."""


def masked_mean(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """L2-normalised mean of the real tokens times `MEAN_SCALE`: `[batch, width]`."""
    mask = attention_mask[..., None].to(hidden.dtype)
    return MEAN_SCALE * functional.normalize((hidden * mask).sum(1), dim=-1)


def masked_softmax(scores: Tensor, attention_mask: Tensor) -> Tensor:
    """Softmax of `[batch, queries, tokens]` over the real tokens; padding gets exactly 0."""
    return scores.masked_fill(attention_mask[:, None] == 0, float("-inf")).softmax(-1)


class PooledHead(nn.Module):
    """First token, or `masked_mean` of all tokens; dropout; linear layer."""

    def __init__(self, width: int, labels: int, pooling: Literal["first", "mean"], dropout: float) -> None:
        super().__init__()
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.weight = nn.Parameter(torch.empty(labels, width))
        self.bias = nn.Parameter(torch.zeros(labels))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits; see the module."""
        pooled = hidden[:, 0] if self.pooling == "first" else masked_mean(hidden, attention_mask)
        return functional.linear(self.dropout(pooled), self.weight, self.bias)


class AttentionHead(nn.Module):
    """One learned query for all labels: a = softmax(H q) over tokens, logits = W (a H) + b."""

    def __init__(self, width: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.query = nn.Parameter(torch.empty(1, width))
        self.weight = nn.Parameter(torch.empty(labels, width))
        self.bias = nn.Parameter(torch.zeros(labels))
        nn.init.normal_(self.query, std=width**-0.5)
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits; see the module."""
        scores = functional.linear(hidden, self.query).transpose(1, 2)
        pooled = (masked_softmax(scores, attention_mask) @ hidden).squeeze(1)
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
        """Logits; see the module."""
        hidden = self.dropout(hidden)
        scores = functional.linear(hidden, self.query).transpose(1, 2)
        return ((masked_softmax(scores, attention_mask) @ hidden) * self.weight).sum(-1) + self.bias


class LaatHead(nn.Module):
    """Label attention in two layers (LAAT, Vu 2020): Z = tanh(H W^T), a = softmax(Z u_l), logit_l = v_l . (a H) + b_l.

    W, `[width, width]`, is shared by the labels: a rare label's query lives in a space that frequent ones shaped.
    """

    def __init__(self, width: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Parameter(torch.empty(width, width))
        self.query = nn.Parameter(torch.empty(labels, width))
        self.weight = nn.Parameter(torch.empty(labels, width))
        self.bias = nn.Parameter(torch.zeros(labels))
        for parameter in (self.projection, self.query, self.weight):
            nn.init.normal_(parameter, std=LAAT_STD)

    def forward(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits; see the module."""
        hidden = self.dropout(hidden)
        scores = functional.linear(functional.linear(hidden, self.projection).tanh(), self.query).transpose(1, 2)
        return ((masked_softmax(scores, attention_mask) @ hidden) * self.weight).sum(-1) + self.bias


class BinaryHeads(nn.Module):
    """A classifier of its own for each label: logit_l = v_l . gelu(W_l x + c_l) + b_l, with x the `masked_mean`.

    Labels share the encoder and nothing else; W_l is `[BINARY_UNITS, width]`.
    """

    def __init__(self, width: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.labels = labels
        self.dropout = nn.Dropout(dropout)
        self.units = nn.Linear(width, labels * BINARY_UNITS)
        self.weight = nn.Parameter(torch.empty(labels, BINARY_UNITS))
        self.bias = nn.Parameter(torch.zeros(labels))
        nn.init.normal_(self.weight, std=BINARY_UNITS**-0.5)

    def forward(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits; see the module."""
        units = functional.gelu(self.units(self.dropout(masked_mean(hidden, attention_mask))))
        own: Tensor = self.dropout(units).unflatten(-1, (self.labels, BINARY_UNITS))
        return (own * self.weight).sum(-1) + self.bias


Head = PooledHead | AttentionHead | LabelAttentionHead | LaatHead | BinaryHeads


def new_head(width: int, labels: int, pooling: Pooling, dropout: float) -> Head:
    """Make the head that a setting names, its weights drawn from torch's generator."""
    match pooling:
        case "first" | "mean":
            return PooledHead(width, labels, pooling, dropout)
        case "attention":
            return AttentionHead(width, labels, dropout)
        case "label_attention":
            return LabelAttentionHead(width, labels, dropout)
        case "laat":
            return LaatHead(width, labels, dropout)
        case "binary":
            return BinaryHeads(width, labels, dropout)


@torch.no_grad()
def start_at_rates(bias: nn.Parameter, targets: Floats) -> None:
    """Set a head's bias to the log-odds of each label's rate, so that no step is spent on learning the rates.

    The prior of Lin 2017 (focal loss, section 3.3), for each label by itself.

    Args:
        bias: `[labels]`.
        targets: `[rows, labels]` in [0, 1], of the rows that the model trains on.
    """
    bias.copy_(log_odds(torch.from_numpy(targets.sum(axis=0)), len(targets)))
