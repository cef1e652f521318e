import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from polydx.train.optimiser import layers_above, learning_rate_factor, new_optimiser


def test_the_schedule_by_hand() -> None:
    factors = [learning_rate_factor(step, 10, 0.2) for step in range(10)]
    assert factors == pytest.approx([1 / 3, 2 / 3, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])


def test_without_warm_up_it_starts_at_the_peak_and_all_warm_up_never_decays() -> None:
    assert learning_rate_factor(0, 4, 0.0) == 1.0
    assert [learning_rate_factor(step, 4, 1.0) for step in range(4)] == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_groups_have_their_rates_and_only_matrices_decay() -> None:
    model = nn.ModuleDict({"body": nn.Linear(3, 3), "norm": nn.LayerNorm(3), "head": nn.Linear(3, 2)})
    optimiser = new_optimiser(model, 1e-3, 1e-2, 0.1, lambda name: name.startswith("head."))
    found = {
        name: (group["peak"], group["weight_decay"])
        for group in optimiser.param_groups
        for parameter in group["params"]
        for name, candidate in model.named_parameters()
        if candidate is parameter
    }
    assert found == {
        "body.weight": (1e-3, 0.1),
        "body.bias": (1e-3, 0.0),
        "norm.weight": (1e-3, 0.0),
        "norm.bias": (1e-3, 0.0),
        "head.weight": (1e-2, 0.1),
        "head.bias": (1e-2, 0.0),
    }


def test_a_constant_end_waits_for_the_warm_up() -> None:
    factors = [learning_rate_factor(step, 10, 0.2, 0.0) for step in range(10)]
    assert factors == pytest.approx([1 / 3, 2 / 3, *[1.0] * 8])


def test_a_constant_end_stays_where_the_decay_was() -> None:
    factors = [learning_rate_factor(step, 10, 0.2, 0.5) for step in range(10)]
    assert factors[:6] == [learning_rate_factor(step, 10, 0.2) for step in range(6)]
    assert factors[5:] == [factors[5]] * 5


def test_layer_wise_rates_fall_from_the_top_layer_to_the_embeddings() -> None:
    torch.manual_seed(0)
    shape = {"vocab_size": 9, "hidden_size": 4, "num_attention_heads": 1, "intermediate_size": 4}
    encoder = BertModel(BertConfig(num_hidden_layers=3, **shape), add_pooling_layer=True)
    model = nn.ModuleDict({"encoder": encoder, "head": nn.Linear(4, 2)})
    optimiser = new_optimiser(model, 1e-3, 1e-2, 0.1, lambda name: name.startswith("head."), layer_decay=0.5)
    names = {parameter: name for name, parameter in model.named_parameters()}
    visited = 0
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            visited += 1
            name = names[parameter]
            expected = 1e-2 if name.startswith("head.") else 1e-3
            for part, factor in (("layer.1.", 0.5), ("layer.0.", 0.25), ("embeddings.", 0.125)):
                expected *= factor if part in name else 1.0
            assert group["peak"] == pytest.approx(expected), name
            assert group["weight_decay"] == (0.1 if parameter.ndim > 1 else 0.0)
    assert visited == len(names)


def test_without_layers_nothing_lies_above() -> None:
    assert layers_above(["body.weight", "head.bias"]) == {"body.weight": 0, "head.bias": 0}
