"""Layers run one by one give what the stock model gives."""

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    ErnieConfig,
    ErnieForSequenceClassification,
    PreTrainedModel,
)

from polydx.model.attention import attend, attend_by_products
from polydx.model.layers import body_of, classify, first_token, trace

SIZES = {
    "vocab_size": 30,
    "hidden_size": 8,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "num_labels": 3,
}
IDS = torch.tensor([[2, 7, 9, 3, 0], [2, 5, 6, 8, 3]])
MASK = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]])


@pytest.fixture(params=["bert", "ernie", "ernie with tasks"])
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    torch.manual_seed(0)
    if request.param == "bert":
        return BertForSequenceClassification(BertConfig(**SIZES)).eval()
    return ErnieForSequenceClassification(ErnieConfig(**SIZES, use_task_id=request.param.endswith("tasks"))).eval()


@torch.no_grad()
def test_the_first_token_alone_gives_the_stock_logits(model: PreTrainedModel) -> None:
    expected = model(input_ids=IDS, attention_mask=MASK).logits
    for kernel in (attend, attend_by_products):
        torch.testing.assert_close(classify(model, IDS, MASK, kernel), expected, rtol=0, atol=1e-6)


@torch.no_grad()
def test_the_last_layer_is_run_for_one_token_only(model: PreTrainedModel) -> None:
    tokens: list[int] = []
    for layer in body_of(model).encoder.layer:
        layer.intermediate.register_forward_hook(lambda _layer, inputs, _output: tokens.append(inputs[0].shape[1]))
    classify(model, IDS, MASK)
    assert tokens == [5, 5, 1]


@torch.no_grad()
def test_a_trace_shows_the_stock_models_states_and_attention(model: PreTrainedModel) -> None:
    model.set_attn_implementation("eager")
    stock = model(input_ids=IDS, attention_mask=MASK, output_hidden_states=True, output_attentions=True)
    shown = trace(body_of(model), IDS, MASK)
    real = MASK.bool()
    states = [shown.embedded, *(layer.hidden for layer in shown.layers)]
    assert len(states) == len(stock.hidden_states) == 4
    for found, expected in zip(states, stock.hidden_states, strict=True):
        torch.testing.assert_close(found[real], expected[real], rtol=0, atol=1e-6)
    for layer, expected in zip(shown.layers, stock.attentions, strict=True):
        scores = layer.query @ layer.key.transpose(-1, -2) / 2
        attention = scores.masked_fill(~real[:, None, None], float("-inf")).softmax(-1)
        torch.testing.assert_close(attention, expected, rtol=0, atol=1e-6)
        assert layer.value.shape == (2, 2, 5, 4)


@torch.no_grad()
def test_both_kernels_give_the_same(model: PreTrainedModel) -> None:
    exact = first_token(body_of(model), IDS, MASK)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(first_token(body_of(model), IDS, MASK).float(), exact, rtol=0, atol=5e-2)
