"""What tokens make of each other: TinyBERT's attention scores, MiniLM's relations, attention transfer."""

from torch import Tensor
from torch.nn import functional

from polydx.distil.hints import token_mean


def attention_scores(query: Tensor, key: Tensor) -> Tensor:
    """Q K^T / sqrt(head width), before the softmax.

    Args:
        query: `[batch, heads, tokens, head width]`.
        key: Likewise.

    Returns:
        `[batch, heads, tokens, tokens]`.
    """
    scores: Tensor = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    return scores


def attention_score_loss(student: Tensor, teacher: Tensor, attention_mask: Tensor) -> Tensor:
    """TinyBERT's attention loss (Jiao 2020): MSE between scores before the softmax, mean over heads and real pairs.

    Args:
        student: `[batch, heads, tokens, tokens]` from `attention_scores`.
        teacher: Likewise, with as many heads.
        attention_mask: `[batch, tokens]`, 1 for real tokens; a pair is real where both tokens are.
    """
    errors = (student - teacher).square().mean(dim=1)
    pairs = (attention_mask[:, :, None] * attention_mask[:, None, :]).to(errors.dtype)
    return (errors * pairs).sum() / pairs.sum()


def relation_loss(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], attention_mask: Tensor, heads: int
) -> Tensor:
    """MiniLM's relation loss (Wang 2020): KL(R_t || R_s), mean over relation heads and real tokens.

    R = softmax(A B^T / sqrt(d)) over the real tokens: queries and keys give attention, values with themselves the value
    relation. Vectors of all heads are joined and cut again into `heads` (MiniLMv2, Wang 2021), so neither the widths
    nor the numbers of heads need to agree.

    Args:
        student: A and B, each `[batch, heads of the student, tokens, head width]`.
        teacher: Likewise, of the teacher.
        attention_mask: `[batch, tokens]`, 1 for real tokens.
        heads: Relation heads; they divide both widths.
    """
    hidden = attention_mask[:, None, None, :] == 0
    log_student, log_teacher = (
        attention_scores(_recut(left, heads), _recut(right, heads)).masked_fill(hidden, float("-inf")).log_softmax(-1)
        for left, right in (student, teacher)
    )
    # Where a key is no token both logs are -inf, and their difference is none.
    gap = (log_teacher - log_student).masked_fill(hidden, 0.0)
    divergence = (log_teacher.exp() * gap).sum(-1).mean(dim=1)
    return token_mean(divergence, attention_mask)


def attention_transfer_loss(student: Tensor, teacher: Tensor, attention_mask: Tensor) -> Tensor:
    """Attention transfer (Zagoruyko 2017): || q_s / ||q_s|| - q_t / ||q_t|| ||^2, mean over rows.

    q holds each token's mean squared activation: where in the record a layer is busy, whatever its width.

    Args:
        student: `[batch, tokens, width]`.
        teacher: `[batch, tokens, another width]`.
        attention_mask: `[batch, tokens]`, 1 for real tokens.
    """
    real = attention_mask.to(student.dtype)
    learns, teaches = (functional.normalize(states.square().mean(-1) * real, dim=-1) for states in (student, teacher))
    return (learns - teaches).square().sum(-1).mean()


def _recut(vectors: Tensor, heads: int) -> Tensor:
    """`[batch, heads, tokens, d]` to `[batch, other heads, tokens, d']`, of the same width in all."""
    joined = vectors.transpose(1, 2).flatten(2)
    return joined.view(*joined.shape[:2], heads, -1).transpose(1, 2)
