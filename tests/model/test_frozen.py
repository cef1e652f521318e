import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from polydx.errors import UserError
from polydx.model.frozen import freeze_lower, run_above, run_below
from polydx.names import Architecture
from small_models import small_encoder

LAYERS = 3


def new_encoder(architecture: Architecture = "bert") -> PreTrainedModel:
    return small_encoder(architecture, num_hidden_layers=LAYERS, hidden_dropout_prob=0.5)


def some_batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    attention_mask = (torch.arange(9) < torch.tensor([[9], [4], [7]])).long()
    return torch.randint(5, 30, (3, 9)) * attention_mask, attention_mask


@pytest.mark.parametrize("architecture", ["bert", "ernie"])
@pytest.mark.parametrize("layers", range(LAYERS))
def test_the_two_parts_make_the_whole_encoder(architecture: Architecture, layers: int) -> None:
    encoder = new_encoder(architecture).eval()
    input_ids, attention_mask = some_batch()
    lower = run_below(encoder, layers, input_ids, attention_mask)
    found = run_above(encoder, layers, lower, attention_mask)
    expected = encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
    real = attention_mask.bool()
    torch.testing.assert_close(found[real], expected[real], rtol=0, atol=1e-6)


@pytest.mark.parametrize("layers", range(LAYERS))
def test_frozen_layers_draw_no_dropout_and_get_no_gradient(layers: int) -> None:
    encoder = new_encoder().train()
    freeze_lower(encoder, layers, "place")
    input_ids, attention_mask = some_batch()
    lower = run_below(encoder, layers, input_ids, attention_mask)
    assert torch.equal(lower, run_below(encoder, layers, input_ids, attention_mask))
    assert not lower.requires_grad

    encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state.square().sum().backward()
    for name, parameter in encoder.named_parameters():
        above = any(f"encoder.layer.{number}." in name for number in range(layers, LAYERS))
        assert (parameter.grad is not None) == above, name
    dropouts = [module.p for module in encoder.modules() if isinstance(module, nn.Dropout)]
    assert set(dropouts) >= {0.0, 0.5}


def test_a_layer_is_left_to_train() -> None:
    with pytest.raises(UserError, match=r"place: is 3; leave a layer to train: stay below the encoder's 3"):
        freeze_lower(new_encoder(), LAYERS, "place")
