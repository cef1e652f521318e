import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from polydx.model.layers import layers_of
from polydx.train.device import matrix_rate
from polydx.train.utilisation import training_flops, utilisation
from small_models import small_encoder

LAYERS, WIDTH = 2, 16


@pytest.fixture
def encoder() -> PreTrainedModel:
    return small_encoder(
        num_hidden_layers=LAYERS,
        hidden_size=WIDTH,
        intermediate_size=48,
        max_position_embeddings=32,
        attn_implementation="eager",
    )


def counted(encoder: PreTrainedModel, tokens: int) -> int:
    """What torch counts, product by product, in a forward and a backward pass over one record."""
    with FlopCounterMode(display=False) as counter:
        states: Tensor = encoder(input_ids=torch.ones(1, tokens, dtype=torch.int64)).last_hidden_state
        states.sum().backward()
    return int(counter.get_total_flops())


def test_flops_are_those_of_the_products_that_torch_counts(encoder: PreTrainedModel) -> None:
    lengths = np.array([5, 20, 32])
    expected = np.mean([counted(encoder, int(tokens)) for tokens in lengths])
    assert training_flops(layers_of(encoder), lengths, attended_tokens=32) == pytest.approx(expected, rel=1e-12)


def test_chunks_attend_within_themselves(encoder: PreTrainedModel) -> None:
    """Three chunks of ten tokens cost three times one."""
    one, three = (training_flops(layers_of(encoder), np.array([tokens]), 10) for tokens in (10, 30))
    assert three == 3 * one


def test_layers_that_do_not_learn_have_no_backward_pass(encoder: PreTrainedModel) -> None:
    lengths = np.array([8])
    whole = training_flops(layers_of(encoder), lengths, 32)
    encoder.get_submodule("encoder.layer.0").requires_grad_(False)
    assert training_flops(layers_of(encoder), lengths, 32) == pytest.approx(whole * (1 + 1 / 3) / 2)
    encoder.requires_grad_(False)
    assert training_flops(layers_of(encoder), lengths, 32) == pytest.approx(whole / 3)


def test_the_share_is_of_all_processes_rates() -> None:
    device = torch.device("cpu")
    rate = matrix_rate(device, bf16=False)
    found = utilisation(rate / 10, 4.0, device, bf16=False, processes=2)
    assert found.mfu == pytest.approx(0.2, abs=1e-4)
    assert found.flops_per_second == pytest.approx(rate * 0.4, rel=1e-6)
    assert found.matrix_flops_per_second == pytest.approx(2 * rate, rel=1e-6)
