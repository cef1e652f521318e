from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from polydx.model.attention import (
    Attend,
    _library_attention,
    attend,
    attend_by_products,
    attend_packed,
    use_own_attention,
)
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


@pytest.mark.parametrize("kernel", [attend, attend_by_products])
def test_attention_is_the_softmax_of_scaled_products_over_real_tokens(kernel: Attend) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 5, 4) for _ in range(3))
    allowed = torch.tensor([[True] * 5, [True, True, True, False, False]])
    expected = softmax_of_products(query, key, value, allowed).transpose(1, 2)
    for mask in (allowed[:, None, None, :], allowed[:, None, None, :].expand(2, 1, 5, 5)):
        torch.testing.assert_close(kernel(query, key, value, mask), expected, atol=1e-6, rtol=0)
    first = kernel(query[:, :, :1], key, value, allowed[:, None, None, :])
    torch.testing.assert_close(first, expected[:, :1], atol=1e-6, rtol=0)
    everything = softmax_of_products(query, key, value, torch.ones(2, 5, dtype=torch.bool)).transpose(1, 2)
    torch.testing.assert_close(kernel(query, key, value, None), everything, atol=1e-6, rtol=0)


def test_packed_records_attend_to_themselves_alone() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 3, 9, 4, requires_grad=True) for _ in range(3))
    bounds = torch.tensor([0, 5, 5, 6, 9], dtype=torch.int32)
    record = torch.repeat_interleave(torch.arange(4), bounds.diff())
    same = record[:, None] == record
    found = attend_packed(query, key, value, bounds, 5)
    expected = (query @ key.mT / 2).masked_fill(~same, float("-inf")).softmax(-1) @ value
    torch.testing.assert_close(found, expected.transpose(1, 2), atol=1e-6, rtol=0)
    weights = torch.randn(found.shape)
    gradients = [
        torch.autograd.grad((each * weights).sum(), [query, key, value]) for each in (found, expected.transpose(1, 2))
    ]
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-6, rtol=0)


def test_a_gpu_has_one_kernel_for_packed_records_in_bf16() -> None:
    """On tensors without numbers, which need no GPU: record by record would have to read the bounds."""
    with FakeTensorMode():
        query = torch.empty(1, 9, 3, 32, device="cuda", dtype=torch.bfloat16).transpose(1, 2)
        bounds = torch.empty(5, device="cuda", dtype=torch.int32)
        found = attend_packed(query, query, query, bounds, 5)
    assert (found.shape, found.dtype, found.device.type) == ((1, 9, 3, 32), torch.bfloat16, "cuda")
    assert found.flatten(2).shape == (1, 9, 96)


def test_bf16_on_a_processor_is_attended_by_products_and_fp32_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    tensors = [torch.randn(1, 2, 3, 4) for _ in range(3)]
    halved = [tensor.bfloat16() for tensor in tensors]
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", lambda *_, **__: torch.zeros(1, 2, 3, 4))
    assert torch.equal(attend(*halved, None), attend_by_products(*halved, None))
    assert not attend(*tensors, None).any()


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
    for own in (False, True):
        encoder = load_encoder(tmp_path / "made", dropout=0.0)
        if own:
            use_own_attention(encoder)
        hidden = encoder(input_ids=ids, attention_mask=mask).last_hidden_state[mask.bool()]
        hidden.square().sum().backward()
        outputs.append(hidden.detach())
        gradients.append(encoder.get_input_embeddings().weight.grad)
        save_folder(tmp_path / f"saved{own}", encoder)
    # In fp32 both end in the library's kernel.
    assert torch.equal(outputs[1], outputs[0])
    assert torch.equal(gradients[1], gradients[0])
    assert (tmp_path / "savedTrue/config.json").read_text() == (tmp_path / "savedFalse/config.json").read_text()


def test_dropout_and_other_scales_are_refused() -> None:
    module, tensor = torch.nn.Identity(), torch.zeros(1, 1, 2, 4)
    with pytest.raises(ValueError, match=r"attention dropout is 0\.1"):
        _library_attention(module, tensor, tensor, tensor, None, dropout=0.1)
    with pytest.raises(ValueError, match=r"attention scale is 0\.25"):
        _library_attention(module, tensor, tensor, tensor, None, scaling=0.25)
    assert _library_attention(module, tensor, tensor, tensor, None, scaling=0.5)[1] is None


def test_a_mask_over_packed_records_is_refused() -> None:
    module, tensor = torch.nn.Identity(), torch.zeros(1, 1, 2, 4)
    bounds, mask = torch.tensor([0, 2], dtype=torch.int32), torch.ones(1, 1, 2, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="packed records have no padding to mask"):
        _library_attention(module, tensor, tensor, tensor, mask, cu_seq_lens_q=bounds, max_length_q=2)
