import pytest
import torch
from torch import nn

from polydx.train.averaging import WeightAverage, moving, new_average, plain


def test_moving_average_by_hand() -> None:
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(1.0)
    average = WeightAverage(module, moving(0.1))
    expected = 1.0
    for step, weight in enumerate([3.0, -2.0, 5.0], start=1):
        with torch.no_grad():
            module.weight.fill_(weight)
        average.update(module)
        decay = min(0.1, step / (step + 10))
        expected = decay * expected + (1 - decay) * weight
        assert average.weights["weight"].item() == pytest.approx(expected, abs=1e-6)
    assert decay == 0.1, "both branches of the decay were seen"
    assert module.weight.item() == 5.0, "averaging leaves the weights alone"
    average.copy_to(module)
    assert module.weight.item() == pytest.approx(expected, abs=1e-6)


def test_the_first_weights_do_not_linger() -> None:
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(1000.0)
    average = WeightAverage(module, moving(0.999))
    for _ in range(40):
        with torch.no_grad():
            module.weight.fill_(1.0)
        average.update(module)
    assert average.weights["weight"].item() == pytest.approx(1.0, abs=1e-3)


def test_plain_average_by_hand() -> None:
    module = nn.Linear(1, 1, bias=False)
    average = WeightAverage(module, plain(2))
    seen = [3.0, -2.0, 5.0, 1.0, 9.0]
    for step, weight in enumerate(seen, start=1):
        with torch.no_grad():
            module.weight.fill_(weight)
        average.update(module)
        if step > 2:
            assert average.weights["weight"].item() == pytest.approx(sum(seen[2:step]) / (step - 2), abs=1e-6)
    assert module.weight.item() == 9.0, "averaging leaves the weights alone"
    average.copy_to(module)
    assert module.weight.item() == pytest.approx(5.0, abs=1e-6)


def test_a_recipe_asks_for_one_average_or_none() -> None:
    module = nn.Linear(1, 1)
    average = new_average(module, 0.9, None, 10, 0.1)
    assert average is not None
    assert [average.share_at(step) for step in (1, 1000)] == pytest.approx([10 / 11, 0.1])
    assert new_average(module, None, None, 10, 0.1) is None
    with pytest.raises(ValueError, match="not both"):
        new_average(module, 0.9, 0.5, 10, 0.1)


@pytest.mark.parametrize(("swa_start", "warmup_share", "start"), [(0.55, 0.1, 5), (0.0, 0.3, 3), (0.5, 1.0, 9)])
def test_a_mean_starts_after_its_share_and_the_warm_up_and_has_one_sample_at_least(
    swa_start: float, warmup_share: float, start: int
) -> None:
    average = new_average(nn.Linear(1, 1), None, swa_start, 10, warmup_share)
    assert average is not None
    assert [average.share_at(step) for step in range(1, 11)] == [0.0] * start + [1 / n for n in range(1, 11 - start)]
