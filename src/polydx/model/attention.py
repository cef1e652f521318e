"""Exact attention by the fastest kernel for the device, dtype and layout of a batch; they differ in rounding only.

The library's fused kernel for CPUs saves the memory of the attention matrix, which the few hundred tokens of a record
don't need, and pays for it with a slow bf16 backward pass: at 220 tokens and heads of width 32 on a Zen 4 core, 26 + 83
ms for forward and backward against 25 + 27 ms by plain matrix products. Without a backward pass, and in fp32, the fused
kernel is the faster one.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import sdpa_mask

ATTEND = "polydx_attend"
"""Name of `attend` in the library's registry (`attn_implementation`)."""

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""Takes query, key, value and mask as `attend` does, and gives what it gives."""

SCALE_ERROR = 1e-9
"""A scale that is width^-1/2 but for rounding is no further from it, in proportion."""
VARLEN_STEP = 8
"""Widths of a head that the kernel for packed records takes are multiples of this."""


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


def attend_packed(query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, longest: int) -> Tensor:
    """`attend` for records that lie one behind the other in a batch of one: each attends to itself alone.

    In bf16 on a GPU by one kernel for all records, elsewhere record by record.

    Args:
        query: `[1, heads, tokens of all records, width]`.
        key: As `query`.
        value: As `query`.
        bounds: `[records + 1]`, int32: record i is the tokens from `bounds[i]` to before `bounds[i + 1]`.
        longest: No record has more tokens.

    Returns:
        `[1, tokens of all records, heads, width]`.
    """
    if query.device.type == "cuda" and query.dtype == torch.bfloat16 and query.shape[-1] % VARLEN_STEP == 0:
        queries, keys, values = (each.squeeze(0).transpose(0, 1) for each in (query, key, value))
        found = cast("Tensor", varlen_attn(queries, keys, values, bounds, bounds, longest, longest))
        return found.unsqueeze(0)
    each: Tensor = _attend_each(query, key, value, bounds)
    return each


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _attend_each(query: Tensor, key: Tensor, value: Tensor, bounds: Tensor) -> Tensor:
    """Hidden from the compiler, which would make a graph for each batch's bounds."""
    records = [
        attend(query[:, :, start:stop], key[:, :, start:stop], value[:, :, start:stop], None)
        for start, stop in pairwise(bounds.tolist())
    ]
    return torch.cat(records, dim=1)


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
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int = 0,
    **_options: object,
) -> tuple[Tensor, None]:
    """`attend`, or `attend_packed` where bounds are given, in the signature of `transformers.AttentionInterface`.

    There are no attention weights.

    Raises:
        ValueError: Dropout, another scale than width^-1/2, or a mask over packed records is asked for.
    """
    if dropout:
        raise ValueError(f"attention dropout is {dropout}; attend has none")
    # Not `isclose`, at which the compiler would cut a layer in two.
    if scaling is not None and abs(scaling * query.shape[-1] ** 0.5 - 1) > SCALE_ERROR:
        raise ValueError(f"attention scale is {scaling}; attend has width^-1/2")
    if cu_seq_lens_q is None:
        return attend(query, key, value, attention_mask), None
    if attention_mask is not None:
        raise ValueError("packed records have no padding to mask")
    return attend_packed(query, key, value, cu_seq_lens_q, max_length_q), None
