import pytest
import torch
from torch import nn

from polydx.train.dropout import ByteDropout, use_byte_dropout

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_entries_are_dropped_at_the_rate_and_the_mean_stays(rate: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    entries = 1_000_003
    found = ByteDropout(rate)(torch.ones(entries, dtype=dtype))
    assert found.dtype == dtype
    dropped = (found == 0).float().mean().item()
    # Rounding to 1/256 moves the rate by up to 1/512; five standard deviations of the share come on top.
    assert abs(dropped - rate) < 1 / 512 + 5 * (rate * (1 - rate) / entries) ** 0.5
    kept = found[found != 0].float()
    assert (kept == kept[0]).all()
    exact = 256 / round((1 - rate) * 256)
    assert abs(kept[0].item() - exact) <= exact * (2**-8 if dtype == torch.bfloat16 else 1e-6)


def test_neighbouring_bytes_are_independent() -> None:
    torch.manual_seed(0)
    kept = (ByteDropout(0.5)(torch.ones(800_000)) != 0).view(-1, 8).float()
    assert (torch.corrcoef(kept.T) - torch.eye(8)).abs().max() < 5 / 100_000**0.5


def test_the_gradient_goes_through_the_kept_entries_only() -> None:
    entries = torch.ones(5, 7, requires_grad=True)
    found = ByteDropout(0.5)(entries)
    found.sum().backward()
    assert torch.equal(entries.grad, found.detach())


def test_nothing_is_dropped_in_evaluation_or_at_rate_zero() -> None:
    entries = torch.ones(9)
    assert ByteDropout(0.5).eval()(entries) is entries
    assert ByteDropout(0.0)(entries) is entries


def test_every_plain_dropout_of_a_model_is_replaced() -> None:
    model = nn.Sequential(nn.Dropout(0.1), nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.3)), nn.AlphaDropout(0.2))
    model.eval()
    use_byte_dropout(model, CPU)
    assert [(type(module), module.p) for module in model.modules() if isinstance(module, nn.Dropout)] == [
        (ByteDropout, 0.1),
        (ByteDropout, 0.3),
    ]
    assert isinstance(model[2], nn.AlphaDropout)
    use_byte_dropout(model, torch.device("cuda"))
    model.train()
    assert not torch.equal(model(torch.ones(50, 2)), model(torch.ones(50, 2)))
