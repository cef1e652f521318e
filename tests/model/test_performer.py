"""Linear attention against exact attention and a plain loop; errors are root mean squares over all entries."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from polydx.model.performer import linear_attention, orthogonal_features, performer_attention, use_performer
from polydx.names import Architecture
from small_models import small_encoder

BATCH, HEADS, TOKENS, WIDTH = 2, 3, 40, 16


def draw(seed: int, size: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys, values `[batch, heads, tokens, width]`; queries and keys scaled by width^(-1/4)."""
    generator = torch.Generator().manual_seed(seed)
    query, key, value = torch.randn(3, BATCH, HEADS, TOKENS, WIDTH, generator=generator)
    return query * size * WIDTH**-0.25, key * size * WIDTH**-0.25, value


def padding() -> Tensor:
    mask = torch.ones(BATCH, TOKENS, dtype=torch.bool)
    mask[1, 25:] = False
    return mask


def exact(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None], scale=1.0)


def slowly(query: Tensor, key: Tensor, value: Tensor, projection: Tensor, mask: Tensor) -> Tensor:
    """FAVOR+ as the paper's formula has it, query by query, in float64 and without any stabilisation."""
    query, key, value, projection = (tensor.double() for tensor in (query, key, value, projection))

    def phi(x: Tensor) -> Tensor:
        return (projection @ x - x @ x / 2).exp() / len(projection) ** 0.5

    out = torch.zeros_like(value)
    for batch in range(BATCH):
        kept = mask[batch].nonzero().squeeze(1).tolist()
        for head in range(HEADS):
            keys = torch.stack([phi(key[batch, head, token]) for token in kept])
            for token in range(TOKENS):
                kernel = keys @ phi(query[batch, head, token])
                out[batch, head, token] = kernel @ value[batch, head, kept] / kernel.sum()
    return out


def error(features: int, seeds: int, orthogonal: bool = True, size: float = 0.5) -> float:
    """Root mean square distance to exact attention over several draws of the features."""
    query, key, value = draw(0, size)
    wanted = exact(query, key, value, padding())
    squares = []
    for seed in range(seeds):
        projection = orthogonal_features(features, WIDTH, seed)
        if not orthogonal:
            projection = torch.randn(features, WIDTH, generator=torch.Generator().manual_seed(seed))
        squares.append((linear_attention(query, key, value, projection, padding()) - wanted).square().mean())
    return torch.stack(squares).mean().sqrt().item()


def test_equals_the_formula_evaluated_query_by_query() -> None:
    query, key, value = draw(1)
    projection = orthogonal_features(24, WIDTH, 5)
    found = linear_attention(query, key, value, projection, padding())
    torch.testing.assert_close(found.double(), slowly(query, key, value, projection, padding()), rtol=0, atol=2e-6)
    whole = torch.ones(BATCH, TOKENS, dtype=torch.bool)
    torch.testing.assert_close(
        linear_attention(query, key, value, projection, None), linear_attention(query, key, value, projection, whole)
    )


def test_the_error_falls_with_the_features() -> None:
    errors = [error(features, 8) for features in (16, 64, 256, 1024)]
    assert all(later < 0.65 * earlier for earlier, later in pairwise(errors)), errors
    assert errors[-1] < 0.02, errors


def test_the_error_grows_with_queries_and_keys() -> None:
    """Why an encoder with sharp attention can't be switched over without training."""
    assert error(256, 4, size=0.5) < error(256, 4, size=1.0) / 3


def test_orthogonal_features_err_less_than_independent_ones() -> None:
    assert error(16, 40) < error(16, 40, orthogonal=False)


def test_features_are_orthogonal_in_blocks_normal_by_themselves_and_follow_from_the_seed() -> None:
    some = orthogonal_features(20, 8, 3)
    assert (some.shape, some.dtype) == ((20, 8), torch.float32)
    for start in (0, 8, 16):
        block = some[start : start + 8]
        inner = block @ block.t()
        torch.testing.assert_close(inner, torch.diag(inner.diag()), rtol=0, atol=1e-5)
    assert torch.equal(some, orthogonal_features(20, 8, 3))
    assert not torch.equal(some, orthogonal_features(20, 8, 4))
    many = torch.cat([orthogonal_features(8, 8, seed) for seed in range(500)])
    torch.testing.assert_close(many.t() @ many / len(many), torch.eye(8), rtol=0, atol=0.1)
    assert abs(many.mean().item()) < 0.02


def test_large_queries_and_keys_stay_finite() -> None:
    query, key, value = draw(2, size=30.0)
    query.requires_grad_()
    found = linear_attention(query, key, value, orthogonal_features(32, WIDTH, 0), padding())
    found.sum().backward()
    assert found.isfinite().all() and query.grad is not None and query.grad.isfinite().all()


def encoder(kind: Architecture, seed: int = 0) -> PreTrainedModel:
    return small_encoder(kind, seed=seed, max_position_embeddings=512, hidden_dropout_prob=0.0).eval()


@pytest.mark.parametrize("kind", ["bert", "ernie"])
def test_an_encoder_switches_honours_padding_and_comes_near_its_exact_self(kind: Architecture) -> None:
    model = encoder(kind)
    for name, parameter in model.named_parameters():
        if "attention.self" in name and "weight" in name:
            torch.nn.init.normal_(parameter, std=0.3 if "value" in name else 0.1)
    ids = torch.randint(5, 30, (2, 12), generator=torch.Generator().manual_seed(1))
    mask = torch.tensor([[1] * 12, [1] * 7 + [0] * 5])
    with torch.inference_mode():
        wanted = model(input_ids=ids, attention_mask=mask).last_hidden_state
        distances = []
        for features in (16, 1024):
            use_performer(model, features)
            found = model(input_ids=ids, attention_mask=mask).last_hidden_state
            distances.append((found - wanted)[mask == 1].square().mean().sqrt().item())
            alone = model(input_ids=ids[1:, :7], attention_mask=mask[1:, :7]).last_hidden_state
            torch.testing.assert_close(found[1:, :7], alone, rtol=0, atol=1e-5)
    assert distances[1] < distances[0] / 3
    assert distances[1] < 0.05


def test_no_feature_is_saved_and_the_same_model_computes_the_same_bytes() -> None:
    model = encoder("bert")
    keys = set(model.state_dict())
    use_performer(model, 8)
    ids = torch.randint(5, 30, (1, 9), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    assert set(model.state_dict()) == keys
    again = encoder("bert", seed=1)
    again.load_state_dict(copy.deepcopy(model.state_dict()))
    use_performer(again, 8)
    # What was first computed while predicting can be trained through.
    hidden = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    hidden.sum().backward()
    assert torch.equal(again(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state, found)
    projections = [module.performer_projection for module in model.modules() if hasattr(module, "performer_projection")]
    assert len(projections) == 2
    assert not torch.equal(*projections), "each layer draws its own"


def test_dropout_inside_attention_is_refused() -> None:
    model = small_encoder(attention_probs_dropout_prob=0.1)
    with pytest.raises(ValueError, match="no weights to drop"):
        use_performer(model, 8)
    query, key, value = draw(0)
    with pytest.raises(ValueError, match="no weights to drop"):
        performer_attention(torch.nn.Identity(), query, key, value, None, dropout=0.1)
