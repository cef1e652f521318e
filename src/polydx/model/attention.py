"""Exact attention as plain matrix products, for cores with fast bf16.

The library's fused kernel for CPUs saves the memory of the attention matrix, which the few hundred tokens of a record
don't need, and pays for it with a slow bf16 backward pass: at 220 tokens and heads of width 32 on a Zen 4 core, 26 + 83
ms for forward and backward against 25 + 27 ms here. In fp32 the fused kernel is the faster one.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import sdpa_mask

MATMUL = "polydx_matmul"


def choose_attention(encoder: PreTrainedModel, device: torch.device, bf16: bool) -> None:
    """Give an encoder the faster of two exact implementations, which differ in rounding only: see above."""
    if bf16 and device.type == "cpu":
        use_matmul_attention(encoder)


def use_matmul_attention(encoder: PreTrainedModel) -> None:
    """Let an encoder attend by `matmul_attention` from now on."""
    AttentionInterface.register(MATMUL, matmul_attention)
    AttentionMaskInterface.register(MATMUL, sdpa_mask)
    encoder.set_attn_implementation(MATMUL)


def matmul_attention(
    module: nn.Module,  # noqa: ARG001 - the library's signature
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_options: object,
) -> tuple[Tensor, None]:
    """softmax(Q K^T s) V without dropout, in the signature of `transformers.AttentionInterface`.

    Args:
        module: Unused.
        query: `[batch, heads, tokens, width]`.
        key: As `query`.
        value: As `query`.
        attention_mask: `[batch, 1, tokens, tokens]`, bool, true where a query may look; the same for every query, as
            padding is. None where nothing is padded.
        scaling: s; width^-1/2 if None.
        dropout: Must be 0.

    Returns:
        `[batch, tokens, heads, width]`, and no attention weights.

    Raises:
        ValueError: Dropout is asked for.
    """
    if dropout:
        raise ValueError(f"attention dropout is {dropout}; matmul_attention has none")
    if not torch.is_grad_enabled():
        # Without a backward pass the fused kernel is the faster one here too: 1.6 against 2.1 ms a text and layer.
        fused = functional.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask, scale=scaling)
        return fused.transpose(1, 2), None
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.matmul(query * scale, key.transpose(-1, -2))
    if attention_mask is not None:
        padding = ~attention_mask[:, :, :1]
        scores = scores.masked_fill_(padding, torch.finfo(scores.dtype).min)
    return torch.matmul(scores.softmax(-1), value).transpose(1, 2), None
