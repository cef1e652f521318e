"""Packed records against padded ones and against each record alone, through encoders, heads, readers, perturbations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from polydx.model.attention import use_own_attention
from polydx.model.classifier import PLAIN, Design, TextClassifier
from polydx.model.frozen import run_below
from polydx.model.layers import layers_of
from polydx.model.packing import Packing, encode_packed, encode_padded
from polydx.names import Architecture, Pooling
from polydx.train.perturbations.embeddings import EmbeddingPoint
from polydx.train.perturbations.fgm import FGM
from polydx.train.perturbations.freelb import FreeLB
from polydx.train.perturbations.interface import Backward, plain_backward
from polydx.train.perturbations.pgd import PGD
from polydx.train.perturbations.vat import VAT
from small_models import small_encoder

LABELS, LENGTHS = 3, (7, 11, 1, 4)
MASK = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
IDS = torch.randint(5, 30, MASK.shape, generator=torch.Generator().manual_seed(1)) * MASK
TARGETS = torch.randint(0, 2, (len(LENGTHS), LABELS), generator=torch.Generator().manual_seed(2)).float()


def new_encoder(architecture: Architecture = "bert", *, own_attention: bool = True) -> PreTrainedModel:
    changes = {"use_task_id": True} if architecture == "ernie" else {}
    encoder = small_encoder(architecture, hidden_dropout_prob=0.0, initializer_range=0.2, **changes)
    if own_attention:
        use_own_attention(encoder)
    return encoder


def new_model(
    packed: bool, architecture: Architecture = "bert", pooling: Pooling = "mean", design: Design = PLAIN
) -> TextClassifier:
    model = TextClassifier(new_encoder(architecture), LABELS, pooling, 0.0, design)
    for encoder in model.encoders:
        use_own_attention(encoder)
    model.packed = packed
    return model


@dataclass(frozen=True)
class Step:
    """What one step gives."""

    logits: Tensor
    gradients: dict[str, Tensor]


def step(model: TextClassifier, backward: Backward = plain_backward, lower: Tensor | None = None) -> Step:
    torch.manual_seed(3)
    found: list[Tensor] = []

    def loss_here() -> Tensor:
        found.append(model(IDS, MASK, lower=lower))
        return functional.binary_cross_entropy_with_logits(found[-1], TARGETS)

    backward(loss_here, 1.0)
    gradients = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
    return Step(found[-1].detach(), gradients)


def assert_same(packed: Step, padded: Step) -> None:
    torch.testing.assert_close(packed.logits, padded.logits, rtol=0, atol=1e-6)
    assert packed.gradients.keys() == padded.gradients.keys()
    for name, expected in padded.gradients.items():
        torch.testing.assert_close(
            packed.gradients[name], expected, rtol=0, atol=1e-6, msg=lambda m, n=name: f"{n} {m}"
        )


@pytest.mark.parametrize("architecture", get_args(Architecture))
@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_logits_and_gradients_equal_those_of_padded_batches(architecture: Architecture, pooling: Pooling) -> None:
    packed, padded = (step(new_model(packed, architecture, pooling)) for packed in (True, False))
    assert_same(packed, padded)
    assert packed.gradients["encoder.embeddings.word_embeddings.weight"].any()


@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_states_equal_those_of_each_record_alone_and_zeros(architecture: Architecture) -> None:
    encoder, plain = new_encoder(architecture), new_encoder(architecture, own_attention=False)
    hidden = encode_packed(encoder, encoder.get_input_embeddings()(IDS), MASK)
    for row, length in enumerate(LENGTHS):
        alone = plain(input_ids=IDS[row : row + 1, :length]).last_hidden_state[0]
        torch.testing.assert_close(hidden[row, :length], alone, rtol=0, atol=1e-6)
        assert not hidden[row, length:].any()


@pytest.mark.parametrize(
    "design",
    [
        Design(mode="chunks", chunk_tokens=4),
        Design(mode="two_streams", chunk_tokens=6),
        Design(mode="two_streams", chunk_tokens=6, own_encoders=True),
    ],
)
def test_readers_of_long_records_pack_their_chunks(design: Design) -> None:
    packed, padded = (step(new_model(packed, pooling="laat", design=design)) for packed in (True, False))
    assert_same(packed, padded)


def test_layers_above_frozen_ones_are_packed() -> None:
    steps = []
    for packed in (True, False):
        model = new_model(packed)
        model.freeze_lower(1, "place")
        lower = run_below(model.encoder, 1, IDS, MASK)
        steps.append(step(model, lower=lower))
    assert_same(*steps)


def test_checkpointed_layers_are_packed() -> None:
    packed, padded = new_model(packed=True), new_model(packed=False)
    packed.encoder.gradient_checkpointing_enable({"use_reentrant": False})
    assert_same(step(packed), step(padded))


NOISY: dict[str, Callable[[TextClassifier], Backward]] = {
    "FGM on the table": lambda model: FGM(EmbeddingPoint(model.word_embedding, "table"), 0.5).backward,
    "FGM on positions": lambda model: FGM(EmbeddingPoint(model.word_embedding, "positions"), 0.5).backward,
    "PGD on positions": lambda model: PGD(EmbeddingPoint(model.word_embedding, "positions"), 0.5, 0.2, 3).backward,
    "FreeLB": lambda model: FreeLB(EmbeddingPoint(model.word_embedding, "positions"), 2, 0.1, 0.2, 0.6).backward,
    "VAT": lambda model: VAT(model, EmbeddingPoint(model.word_embedding, "positions"), 0.1, 0.5, 1, 1.0).backward,
}


@pytest.mark.parametrize("method", NOISY)
def test_perturbations_move_and_norm_each_record_as_in_padded_batches(method: str) -> None:
    models = new_model(packed=True), new_model(packed=False)
    packed, padded = (step(model, NOISY[method](model)) for model in models)
    assert_same(packed, padded)
    clean = step(new_model(packed=False))
    assert not torch.equal(packed.logits, clean.logits), "it moved something"


def test_layers_see_one_row_of_real_tokens_and_no_mask() -> None:
    encoder = new_encoder()
    seen: list[tuple[torch.Size, object]] = []
    for layer in layers_of(encoder):
        layer.register_forward_pre_hook(lambda _layer, inputs: seen.append((inputs[0].shape, inputs[1])))
    encode_packed(encoder, encoder.get_input_embeddings()(IDS), MASK)
    assert seen == [((1, sum(LENGTHS), 16), None)] * 2


def test_an_encoder_that_would_mix_the_records_is_refused() -> None:
    encoder = new_encoder(own_attention=False)
    with pytest.raises(ValueError, match="an encoder that attends by sdpa can't read packed records"):
        encode_packed(encoder, encoder.get_input_embeddings()(IDS), MASK)


def test_bf16_autocast_packs_too() -> None:
    encoder = new_encoder()
    with torch.autocast("cpu", torch.bfloat16):
        embedded = encoder.get_input_embeddings()(IDS)
        packed, padded = (encode(encoder, embedded, MASK) for encode in (encode_packed, encode_padded))
    real = MASK.bool()
    torch.testing.assert_close(packed[real], padded[real], rtol=0, atol=0.05)


@given(
    st.tuples(st.integers(1, 4), st.integers(1, 6)).flatmap(
        lambda size: st.lists(
            st.lists(st.integers(0, 1), min_size=size[1], max_size=size[1]), min_size=size[0], max_size=size[0]
        )
    )
)
def test_packing_keeps_every_real_token_wherever_it_stands(mask: list[list[int]]) -> None:
    real = torch.tensor(mask)
    states = torch.randn(*real.shape, 2)
    packing = Packing.of(real)
    packed = packing.pack(states)
    assert torch.equal(packed[0], states[real.bool()])
    assert torch.equal(packing.unpack(packed), states * real[..., None])
    assert packing.positions.tolist() == [column for row in mask for column, one in enumerate(row) if one]
    starts = [sum(sum(row) for row in mask[:number]) for number in range(len(mask) + 1)]
    assert packing.bounds.tolist() == starts and packing.bounds.dtype == torch.int32
