from pathlib import Path

import pytest
import torch

from polydx.model.attention import matmul_attention, use_matmul_attention
from polydx.model.encoders import load_encoder, new_encoder, save_folder


def softmax_of_products(query, key, value, allowed):
    """One query at a time, as in Vaswani 2017."""
    out = torch.zeros_like(query)
    for batch in range(query.shape[0]):
        for head in range(query.shape[1]):
            keys, values = key[batch, head][allowed[batch]], value[batch, head][allowed[batch]]
            for position in range(query.shape[2]):
                weights = (keys @ query[batch, head, position] / query.shape[-1] ** 0.5).softmax(0)
                out[batch, head, position] = weights @ values
    return out


def test_attention_is_the_softmax_of_scaled_products_over_real_tokens() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 5, 4) for _ in range(3))
    allowed = torch.tensor([[True] * 5, [True, True, True, False, False]])
    mask = allowed[:, None, None, :].expand(2, 1, 5, 5)
    found, weights = matmul_attention(torch.nn.Identity(), query, key, value, mask)
    assert weights is None
    torch.testing.assert_close(
        found.transpose(1, 2), softmax_of_products(query, key, value, allowed), atol=1e-6, rtol=0
    )
    whole, _ = matmul_attention(torch.nn.Identity(), query, key, value, None)
    everything = torch.ones(2, 5, dtype=torch.bool)
    torch.testing.assert_close(
        whole.transpose(1, 2), softmax_of_products(query, key, value, everything), atol=1e-6, rtol=0
    )


def test_an_encoder_computes_the_same_and_its_folder_does_not_know_of_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = new_encoder(
        "bert",
        vocabulary_size=50,
        layers=2,
        hidden_size=16,
        heads=2,
        intermediate_size=32,
        max_positions=12,
        dropout=0.0,
    )
    save_folder(tmp_path / "made", made)
    ids = torch.randint(5, 50, (3, 12))
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    outputs, gradients = [], []
    for matmul in (False, True):
        encoder = load_encoder(tmp_path / "made", dropout=0.0)
        if matmul:
            use_matmul_attention(encoder)
        hidden = encoder(input_ids=ids, attention_mask=mask).last_hidden_state[mask.bool()]
        hidden.square().sum().backward()
        outputs.append(hidden.detach())
        gradients.append(encoder.get_input_embeddings().weight.grad)
        save_folder(tmp_path / f"saved{matmul}", encoder)
    torch.testing.assert_close(outputs[1], outputs[0], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-5, rtol=1e-4)
    assert (tmp_path / "savedTrue/config.json").read_text() == (tmp_path / "savedFalse/config.json").read_text()


def test_dropout_inside_attention_is_refused() -> None:
    tensor = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ValueError, match=r"attention dropout is 0\.1"):
        matmul_attention(torch.nn.Identity(), tensor, tensor, tensor, None, dropout=0.1)
