import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from polydx.errors import UserError
from polydx.model.classifier import TextClassifier
from polydx.model.heads import PooledHead
from polydx.model.starting import average_over_masks, reinitialise_top
from small_models import small_encoder


def new_encoder(dropout: float = 0.1) -> PreTrainedModel:
    return small_encoder(num_hidden_layers=3, hidden_size=32, intermediate_size=64, hidden_dropout_prob=dropout)


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_the_top_layers_start_anew_and_nothing_else_does(layers: int) -> None:
    encoder = new_encoder()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.fill_(7.0)
    torch.manual_seed(1)
    reinitialise_top(encoder, layers, "place")
    visited = 0
    for name, parameter in encoder.named_parameters():
        fresh = any(f"encoder.layer.{number}." in name for number in range(3 - layers, 3))
        visited += fresh
        if not fresh:
            assert (parameter == 7.0).all(), name
        elif "LayerNorm.weight" in name:
            assert (parameter == 1).all(), name
        elif parameter.ndim == 1:
            assert (parameter == 0).all(), name
        else:
            assert parameter.std().item() == pytest.approx(encoder.config.initializer_range, rel=0.2), name
    assert visited == 16 * layers


def test_new_weights_follow_the_generator_and_there_are_only_so_many_layers() -> None:
    first, second = new_encoder(), new_encoder()
    for encoder in (first, second):
        torch.manual_seed(1)
        reinitialise_top(encoder, 2, "place")
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())
    with pytest.raises(UserError, match=r"place: is 4; stay within the encoder's 3 layers"):
        reinitialise_top(first, 4, "place")
    with pytest.raises(UserError, match="place: is 2; stay within the encoder's 3 layers, of which 2 are frozen"):
        reinitialise_top(first, 2, "place", frozen=2)
    reinitialise_top(first, 1, "place", frozen=2)


def test_a_head_averages_its_masks_in_training_and_is_left_alone_in_prediction() -> None:
    torch.manual_seed(0)
    head = PooledHead(16, 3, "mean", 0.4)
    hidden, mask = torch.randn(5, 7, 16), torch.ones(5, 7, dtype=torch.int64)
    torch.manual_seed(1)
    expected = torch.stack([head(hidden, mask) for _ in range(4)]).mean(0)
    plain = head.eval()(hidden, mask)
    average_over_masks(head.train(), 4)
    torch.manual_seed(1)
    torch.testing.assert_close(head(hidden, mask), expected, rtol=0, atol=1e-6)
    assert torch.equal(head.eval()(hidden, mask), plain)
    head.train()
    samples = torch.stack([head(hidden, mask) for _ in range(300)])
    # In expectation a linear head's dropped-out logits are the plain ones: within 5 standard errors.
    assert ((samples.mean(0) - plain).abs() < 5 * samples.std(0) / 300**0.5).all()


def test_one_mask_changes_nothing() -> None:
    head = nn.Linear(2, 2)
    average_over_masks(head, 1)
    assert not head._forward_hooks


def test_gradient_checkpointing_changes_no_bit_of_the_gradients() -> None:
    def gradients(checkpointing: bool) -> list[torch.Tensor]:
        model = TextClassifier(new_encoder(dropout=0.2), 3, "mean", 0.1).train()
        if checkpointing:
            model.encoder.gradient_checkpointing_enable({"use_reentrant": False})
        torch.manual_seed(2)
        ids = torch.randint(1, 30, (4, 9))
        model(ids, torch.ones_like(ids)).square().mean().backward()
        return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]

    plain, recomputed = gradients(False), gradients(True)
    assert len(plain) == len(recomputed) > 50
    assert all(torch.equal(a, b) for a, b in zip(plain, recomputed, strict=True))
