import pytest
from torch import nn

from polydx.train.optimiser import learning_rate_factor, new_optimiser


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
