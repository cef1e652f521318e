"""Exact attention by the faster of two kernels, which differ in rounding only.

The library's fused kernel for CPUs saves the memory of the attention matrix, which the few hundred tokens of a record
don't need, and pays for it with a slow bf16 backward pass: at 220 tokens and heads of width 32 on a Zen 4 core, 26 + 83
ms for forward and backward against 25 + 27 ms by plain matrix products. Without a backward pass, and in fp32, the fused
kernel is the faster one.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import sdpa_mask

ATTEND = "polydx_attend"
"""Name of `attend` in the library's registry (`attn_implementation`)."""

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""Takes query, key, value and mask as `attend` does, and gives what it gives."""


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(Q K^T / sqrt(width)) V without dropout, by the kernel that is faster for this dtype on this device.

    Args:
        query: `[batch, heads, asking tokens, width]`.
        key: `[batch, heads, tokens, width]`.
        value: As `key`.
        mask: `[batch, 1, 1 or asking tokens, tokens]`, bool, true where a query may look; the same for every query, as
            padding is. None where nothing is padded.

    Returns:
        `[batch, asking tokens, heads, width]`.
    """
    if query.dtype == torch.bfloat16 and query.device.type == "cpu" and torch.is_grad_enabled():
        return attend_by_products(query, key, value, mask)
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2)


def attend_by_products(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """The same as plain matrix products, whatever the dtype: they can be counted, exported and quantised."""
    scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-1, -2))
    if mask is not None:
        scores = scores.masked_fill_(~mask[:, :, :1], torch.finfo(scores.dtype).min)
    return torch.matmul(scores.softmax(-1), value).transpose(1, 2)


def use_own_attention(encoder: PreTrainedModel) -> None:
    """Let an encoder of the library attend by `attend` from now on; its folder won't know of it."""
    AttentionInterface.register(ATTEND, _library_attention)
    AttentionMaskInterface.register(ATTEND, sdpa_mask)
    encoder.set_attn_implementation(ATTEND)


def _library_attention(
    module: nn.Module,  # noqa: ARG001 - the library's signature
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_options: object,
) -> tuple[Tensor, None]:
    """`attend` in the signature of `transformers.AttentionInterface`; there are no attention weights.

    Raises:
        ValueError: Dropout, or another scale than width^-1/2, is asked for.
    """
    if dropout:
        raise ValueError(f"attention dropout is {dropout}; attend has none")
    if scaling is not None and not math.isclose(scaling, query.shape[-1] ** -0.5):
        raise ValueError(f"attention scale is {scaling}; attend has width^-1/2")
    return attend(query, key, value, attention_mask), None
