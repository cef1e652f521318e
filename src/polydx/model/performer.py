"""Linear attention (Performer, FAVOR+; Choromanski 2021) that any encoder of the library can switch to.

softmax(q.k / sqrt(d)) is estimated by phi(q).phi(k) with m positive random features

    phi(x)_i = exp(w_i.x' - |x'|^2 / 2) / sqrt(m),    x' = x / d^(1/4),    w_i ~ N(0, I) and orthogonal in blocks of d,

so attention is phi(Q) (phi(K)^T V) over its row sums: time and memory grow with the tokens, not with their square. The
estimate of the kernel is unbiased; its relative variance is about exp(|q' + k'|^2) / m. So it is good where queries and
keys are short, and needs training to stay so: an encoder with sharp attention that is merely switched over becomes
another one. The features are drawn once, by a seed that follows from the layer, so that a model saved and loaded
computes the same bytes.
"""

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface

PERFORMER = "polydx_performer"
"""Name of the implementation in the library's registry (`attn_implementation`)."""
LEAST_WEIGHT = 1e-12
"""A query whose features meet no key's above this, the largest being 1, reads less and less instead of noise over
noise, and its gradient stays finite."""
_PROJECTION = "performer_projection"
_FEATURES = "performer_features"


def use_performer(encoder: PreTrainedModel, features: int) -> None:
    """Switch an encoder's attention to `features` random features, in place; its weights stay as they are.

    The number stands in the encoder's configuration; the features themselves are no weights and are not saved.

    Raises:
        ValueError: The encoder drops attention weights: linear attention never computes any.
    """
    if getattr(encoder.config, "attention_probs_dropout_prob", 0.0) > 0:
        raise ValueError("linear attention has no weights to drop: set attention_probs_dropout_prob to 0")
    AttentionInterface.register(PERFORMER, performer_attention)
    AttentionMaskInterface.register(PERFORMER, _padding_mask)
    setattr(encoder.config, _FEATURES, features)
    encoder.set_attn_implementation(PERFORMER)
    for module in encoder.modules():
        if hasattr(module, _PROJECTION):
            delattr(module, _PROJECTION)


def performer_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_options: object,
) -> tuple[Tensor, None]:
    """The library's interface of an attention function.

    Args:
        module: The layer's attention; keeps its projection.
        query: `[batch, heads, tokens, d]`; `key` and `value` likewise.
        key: See `query`.
        value: See `query`.
        attention_mask: `[batch, tokens]`, bool, true for real tokens; None if all are.
        dropout: 0.
        scaling: Factor on q.k; None means d^(-1/2).

    Returns:
        `[batch, tokens, heads, d]`, and no attention weights.
    """
    if dropout > 0:
        raise ValueError("linear attention has no weights to drop")
    root = (query.size(-1) ** -0.5 if scaling is None else scaling) ** 0.5
    projection = _projection_of(module, query)
    # Exponentials of sums want the range of fp32, whatever autocast runs the layers in.
    with torch.autocast(query.device.type, enabled=False):
        attended = linear_attention(query.float() * root, key.float() * root, value.float(), projection, attention_mask)
    return attended.to(value.dtype).transpose(1, 2).contiguous(), None


def linear_attention(query: Tensor, key: Tensor, value: Tensor, projection: Tensor, mask: Tensor | None) -> Tensor:
    """Attend by random features.

    Args:
        query: `[batch, heads, tokens, d]`, float32, scaled by d^(-1/4); `key` likewise.
        key: See `query`.
        value: `[batch, heads, tokens, d]`, float32.
        projection: `[features, d]`, from `orthogonal_features`.
        mask: `[batch, tokens]`, bool, true for keys to attend to; None for all.

    Returns:
        `[batch, heads, tokens, d]`, float32.
    """
    query_exponents = _exponents(query, projection)
    key_exponents = _exponents(key, projection)
    if mask is not None:
        key_exponents = key_exponents.masked_fill(~mask[:, None, :, None], float("-inf"))
    # A factor common to a query's features, or to a head's keys, cancels between the sums and keeps exp within range.
    queries = (query_exponents - query_exponents.amax(-1, keepdim=True).detach()).exp()
    keys = (key_exponents - key_exponents.amax((-2, -1), keepdim=True).detach()).exp()
    read = queries @ (keys.transpose(-2, -1) @ value)
    weight = queries @ keys.sum(-2)[..., None]
    return read / weight.clamp_min(LEAST_WEIGHT)


def orthogonal_features(features: int, width: int, seed: int) -> Tensor:
    """Draw `[features, width]`, float32: rows each distributed as N(0, I), orthogonal within blocks of `width`.

    Orthogonal rows spread evenly, which lowers the variance at the same cost (Choromanski 2021, theorem 2).
    """
    draw = torch.Generator().manual_seed(seed)
    blocks = []
    for start in range(0, features, width):
        directions, upper = torch.linalg.qr(torch.randn(width, width, generator=draw, dtype=torch.float64))
        # QR fixes signs; times those of the diagonal the directions are uniform (Mezzadri 2007).
        directions = directions * upper.diagonal().sign()
        lengths = torch.randn(width, width, generator=draw, dtype=torch.float64).norm(dim=1)
        blocks.append((lengths[:, None] * directions.t())[: features - start])
    return torch.cat(blocks).float()


def _exponents(vectors: Tensor, projection: Tensor) -> Tensor:
    return vectors @ projection.t() - vectors.square().sum(-1, keepdim=True) / 2


def _projection_of(module: nn.Module, query: Tensor) -> Tensor:
    if not hasattr(module, _PROJECTION):
        features: int = getattr(module.config, _FEATURES)
        seed = int(getattr(module, "layer_idx", None) or 0)
        # A tensor made while predicting could not be trained through later.
        with torch.inference_mode(mode=False):
            projection = orthogonal_features(features, query.size(-1), seed)
            module.register_buffer(_PROJECTION, projection.to(query.device), persistent=False)
    kept: Tensor = getattr(module, _PROJECTION)
    return kept


def _padding_mask(attention_mask: Tensor | None = None, **_options: object) -> Tensor | None:
    """What the library hands to the attention function: the padding mask as it is, no square one."""
    return attention_mask
