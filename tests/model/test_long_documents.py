"""Readers against one sequence at a time, and what reaches the encoder of a long record."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from polydx.model.classifier import Design, TextClassifier
from polydx.model.long_documents import ChunkReader, TwoStreamReader, encode_chunks, new_reader
from polydx.model.reading import Reading
from polydx.model.record_tokens import encode_records
from polydx.model.tokenizers import new_tokenizer
from polydx.names import Pooling
from polydx.text.sections import compose
from small_models import small_encoder

CHUNK, WIDTH, LABELS = 8, 16, 3
LENGTHS = (20, 16, 5, 9, 1)


def new_encoder(positions: int = CHUNK, vocabulary: int = 30) -> PreTrainedModel:
    return small_encoder(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        max_position_embeddings=positions,
        hidden_dropout_prob=0.0,
        initializer_range=0.3,
    ).eval()


@pytest.fixture
def encoder() -> PreTrainedModel:
    return new_encoder()


def batch(lengths: tuple[int, ...] = LENGTHS) -> tuple[Tensor, Tensor]:
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(5, 30, mask.shape, generator=torch.Generator().manual_seed(1))
    return ids * mask, mask


def words(encoder: PreTrainedModel, ids: Tensor) -> Tensor:
    """Word embeddings of ids."""
    embedded: Tensor = encoder.get_input_embeddings()(ids)
    return embedded


def alone(encoder: PreTrainedModel, ids: Tensor) -> Tensor:
    """Hidden states of one record's ids `[tokens]`, chunk after chunk."""
    pieces = [encoder(input_ids=piece[None]).last_hidden_state[0] for piece in ids.split(CHUNK)]
    return torch.cat(pieces)


def test_chunks_equal_each_chunk_by_itself(encoder: PreTrainedModel) -> None:
    ids, mask = batch()
    hidden = ChunkReader(CHUNK)(encoder, words(encoder, ids), mask)
    assert hidden.shape == (*ids.shape, WIDTH)
    for row, length in enumerate(LENGTHS):
        torch.testing.assert_close(hidden[row, :length], alone(encoder, ids[row, :length]), rtol=0, atol=1e-5)


def test_a_batch_of_short_records_is_one_plain_batch(encoder: PreTrainedModel) -> None:
    ids, mask = batch((5, 3))
    plain = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    assert torch.equal(ChunkReader(CHUNK)(encoder, words(encoder, ids), mask), plain)


@contextmanager
def rows_read(encoder: PreTrainedModel) -> Iterator[list[tuple[int, int]]]:
    """The shapes of the sequences that reach an encoder."""
    shapes: list[tuple[int, int]] = []

    def note(_module: nn.Module, _inputs: object, options: dict[str, Tensor]) -> None:
        shapes.append(tuple(options["inputs_embeds"].shape[:2]))  # type: ignore[arg-type]

    hook = encoder.register_forward_pre_hook(note, with_kwargs=True)
    yield shapes
    hook.remove()


def test_empty_chunks_are_not_encoded(encoder: PreTrainedModel) -> None:
    ids, mask = batch((20, 3, 4))
    with rows_read(encoder) as shapes:
        encode_chunks(encoder, words(encoder, ids), mask, CHUNK)
    assert shapes == [(5, CHUNK)], "three chunks and one each, not three each"


@pytest.mark.parametrize("pooling", ["label_attention", "laat"])
def test_label_attention_over_chunks_equals_the_head_on_each_record(encoder: PreTrainedModel, pooling: Pooling) -> None:
    model = TextClassifier(encoder, LABELS, pooling, 0.0, Design(mode="chunks", chunk_tokens=CHUNK)).eval()
    ids, mask = batch()
    logits = model(ids, mask)
    for row, length in enumerate(LENGTHS):
        whole = alone(encoder, ids[row, :length])[None]
        expected = model.head(whole, torch.ones(1, length))
        torch.testing.assert_close(logits[row : row + 1], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("own_encoders", [False, True])
def test_two_streams_equal_a_plain_reference(encoder: PreTrainedModel, own_encoders: bool) -> None:
    torch.manual_seed(3)
    reader = TwoStreamReader(encoder, CHUNK, own_encoders, layers=2, dropout=0.0).eval()
    other = encoder if reader.second is None else new_encoder()
    if reader.second is not None:
        for parameter in reader.second.parameters():
            nn.init.normal_(parameter, std=0.2)
        reader.second.set_input_embeddings(encoder.get_input_embeddings())
        other.load_state_dict(reader.second.state_dict())
        reader.second.set_input_embeddings(nn.Identity())
    ids, mask = batch((16, 11, 5))
    hidden = reader(encoder, words(encoder, ids), mask)
    for row, length in enumerate((16, 11, 5)):
        first = encoder(input_ids=ids[row : row + 1, : min(length, CHUNK)]).last_hidden_state + reader.stream[0]
        joined = first
        if length > CHUNK:
            second = other(input_ids=ids[row : row + 1, CHUNK:length]).last_hidden_state + reader.stream[1]
            joined = torch.cat([first, second], dim=1)
        for layer in reader.joiner:
            joined = layer(joined)
        torch.testing.assert_close(hidden[row : row + 1, :length], joined, rtol=0, atol=1e-5)


def test_each_stream_learns_through_its_own_encoder_and_both_through_one_table(encoder: PreTrainedModel) -> None:
    reader = TwoStreamReader(encoder, CHUNK, own_encoders=True, layers=1, dropout=0.0)
    ids, mask = batch((16, 16))
    reader(encoder, words(encoder, ids), mask)[:, CHUNK:].square().sum().backward()
    assert reader.second is not None
    assert all(parameter.grad is not None for parameter in reader.second.parameters())
    table = encoder.get_input_embeddings().weight.grad
    assert table is not None and table[ids[0, -1]].any()
    names = {name for name, _ in reader.named_parameters()}
    assert not any("word_embeddings" in name for name in names), "one table, which adversaries perturb"


def test_more_than_two_streams_is_a_bug(encoder: PreTrainedModel) -> None:
    reader = TwoStreamReader(encoder, CHUNK, own_encoders=False, layers=1, dropout=0.0)
    ids, mask = batch()
    with pytest.raises(ValueError, match="20 tokens are more than two streams of 8"):
        reader(encoder, words(encoder, ids), mask)


def test_only_two_modes_need_a_reader(encoder: PreTrainedModel) -> None:
    made = {
        mode: new_reader(mode, encoder, CHUNK, False, 1, 0.0)
        for mode in ("cut", "head_tail", "section_shares", "chunks", "two_streams")
    }
    assert {mode for mode, reader in made.items() if reader is not None} == {"chunks", "two_streams"}


@pytest.mark.parametrize("mode", ["chunks", "two_streams"])
def test_one_lookup_serves_a_whole_record(encoder: PreTrainedModel, mode: str) -> None:
    """So an adversary's perturbation of positions has one norm a record, over all its chunks."""
    design = Design(mode=mode, chunk_tokens=CHUNK, own_encoders=True)  # type: ignore[arg-type]
    model = TextClassifier(encoder, LABELS, "mean", 0.0, design)
    seen: list[tuple[int, ...]] = []
    hook = model.word_embedding.register_forward_hook(lambda _module, _inputs, output: seen.append(output.shape))
    ids, mask = batch((16, 5))
    model(ids, mask)
    hook.remove()
    assert seen == [(2, 16, WIDTH)]


SECTIONS = {"主诉": 12, "现病史": 900, "既往史": 300, "体格检查": 700, "辅助检查": 287}


def record() -> tuple[list[tuple[str, str | None]], str]:
    """Five sections of random characters; with sex, age, headings and blanks the text has 2,229 characters."""
    draw = np.random.default_rng(0)
    alphabet = [chr(0x4E00 + number) for number in range(40)]
    sections = [(heading, "".join(draw.choice(alphabet, size))) for heading, size in SECTIONS.items()]
    return list(sections), "".join(alphabet)


def test_a_change_in_any_section_of_2229_characters_reaches_the_logits() -> None:
    sections, alphabet = record()
    variants = [sections]
    for section, (heading, text) in enumerate(sections):
        assert text is not None
        changed = text[: len(text) // 2] + ("龙" if text[len(text) // 2] != "龙" else "马") + text[len(text) // 2 + 1 :]
        variants.append([*sections[:section], (heading, changed), *sections[section + 1 :]])
    composed = [compose("male", 7.0, variant, "zh") for variant in variants]
    texts = [each.text for each in composed]
    assert {len(text) for text in texts} == {2229} and len(set(texts)) == 6
    tokenizer = new_tokenizer("characters", [alphabet + "龙马" + texts[0]] * 2, 100)

    def moved(reading: Reading, design: Design, positions: int) -> list[bool]:
        encoder = new_encoder(positions, vocabulary=len(tokenizer))
        model = TextClassifier(encoder, LABELS, "laat", 0.0, design).eval()
        nn.init.normal_(model.head.weight)
        tokens = encode_records(tokenizer, texts, [each.ends for each in composed], reading)
        with torch.inference_mode():
            logits = model(*tokens.pad(np.arange(6)))
        return [not torch.equal(logits[0], changed) for changed in logits[1:]]

    chunks = Reading("chunks", 4096, chunk_tokens=128)
    assert moved(chunks, Design(mode="chunks", chunk_tokens=128), 128) == [True] * 5
    assert moved(Reading("cut", 512), Design(), 512) == [True, True, False, False, False], "the fault this mends"
