import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from polydx.errors import UserError
from polydx.model.attention import use_own_attention
from polydx.model.encoders import MaskedLM, new_encoder
from polydx.model.tokenizers import new_tokenizer
from polydx.semi.masked_language import MaskedExamples, MaskedLanguageTask, evaluate, mask_texts, pretrain
from polydx.semi.whole_words import NO_WORD, encode_words
from polydx.train.loop import Recipe

CPU = torch.device("cpu")
CHINESE = ["患者3天前出现发热,体温39.5℃", "高血压病史10年,否认糖尿病", "无咳嗽"] * 2
MASK = 4


def tokens_of(tokenizer: PreTrainedTokenizerFast, ids: np.ndarray, words: np.ndarray) -> list[str]:  # type: ignore[type-arg]
    """Each word's tokens joined; special tokens stand in brackets."""
    spelt: list[str] = []
    for index, (id_, word) in enumerate(zip(ids, words, strict=True)):
        token = tokenizer.convert_ids_to_tokens(int(id_)).removeprefix("##")
        if index and word == words[index - 1] != NO_WORD:
            spelt[-1] += token
        else:
            spelt.append(token)
    return spelt


def test_chinese_words_are_jiebas() -> None:
    tokenizer = new_tokenizer("characters", CHINESE, 200)
    table = encode_words(tokenizer, CHINESE[:2], 64, "zh", whole_words=True)
    first = slice(table.tokens.starts[1], table.tokens.starts[2])
    words = tokens_of(tokenizer, table.tokens.ids[first], table.words[first])
    assert words[0] == "[CLS]" and words[-1] == "[SEP]"
    assert {"高血压", "病史", "否认", "糖尿病"} <= set(words)


def test_word_pieces_of_english_stand_together() -> None:
    texts = ["the patient coughed and was coughing", "coughing patients, the cough"] * 2
    tokenizer = new_tokenizer("wordpiece", texts, 30)
    assert len(tokenizer.tokenize("coughed")) > 1
    table = encode_words(tokenizer, texts[:1], 64, "en", whole_words=True)
    assert tokens_of(tokenizer, table.tokens.ids, table.words)[1:-1] == texts[0].split()


def test_without_whole_words_every_token_is_a_word() -> None:
    tokenizer = new_tokenizer("characters", CHINESE, 200)
    table = encode_words(tokenizer, CHINESE[:2], 64, "zh", whole_words=False)
    inside = table.words != NO_WORD
    assert np.array_equal(inside, ~np.isin(table.tokens.ids, [0, 1, 2, 3, 4]))
    assert (np.diff(table.words)[inside[1:] & inside[:-1]] == 1).all()


@pytest.mark.parametrize("length", [1, 6, 7, 13, 40])
def test_long_texts_are_cut_evenly_and_nothing_is_lost(length: int) -> None:
    words = [str(10 + index % 5) for index in range(length)]
    tokenizer = new_tokenizer("words", [" ".join(str(10 + n) for n in range(5))] * 2, 100)
    tokens = encode_words(tokenizer, [" ".join(words)], 8, "tokens", whole_words=True).tokens
    assert tokens.lengths.max() <= 8
    assert tokens.lengths.max() - tokens.lengths.min() <= 1
    inner = tokens.ids[~np.isin(tokens.ids, [2, 3])]
    assert tokenizer.convert_ids_to_tokens(inner.tolist()) == words


def test_texts_of_unknown_words_only_are_an_error() -> None:
    tokenizer = new_tokenizer("words", ["1 2"] * 2, 100)
    with pytest.raises(UserError, match="knows no word"):
        encode_words(tokenizer, ["3", "4 5"], 8, "tokens", whole_words=True)


@pytest.fixture(scope="module")
def examples() -> MaskedExamples:
    """400 sequences of words that are spelt with one to four pieces."""
    draw = np.random.default_rng(0)
    names = ["".join(draw.choice(list("abcdefgh"), size)) for size in draw.integers(1, 5, 300)]
    texts = [" ".join(draw.choice(names, 30)) for _ in range(400)]
    tokenizer = new_tokenizer("wordpiece", texts, 60)
    return mask_texts(tokenizer, texts, max_tokens=64, language="en", whole_words=True, mask_share=0.15)


def test_masks_have_their_shares_and_hide_whole_words(examples: MaskedExamples) -> None:
    rows = np.arange(len(examples.lengths))
    plain, attention = examples.sequences.tokens.pad(rows)
    batch = examples.batch(rows, np.random.default_rng(1))
    hidden, targets = batch["hidden"].numpy(), batch["targets"].numpy()
    assert torch.equal(batch["attention_mask"], attention)
    assert np.array_equal(plain.flatten()[hidden], targets)

    real = np.flatnonzero(attention.numpy())
    words = examples.sequences.words
    is_hidden = np.isin(real, hidden)
    assert not is_hidden[words == NO_WORD].any()
    assert is_hidden[words != NO_WORD].mean() == pytest.approx(0.15, abs=0.01)
    same_word = (words[1:] == words[:-1]) & (words[1:] != NO_WORD)
    assert same_word.any() and np.array_equal(is_hidden[1:][same_word], is_hidden[:-1][same_word])

    shown = batch["input_ids"].flatten().numpy()
    assert np.array_equal(np.delete(shown, hidden), np.delete(plain.flatten().numpy(), hidden))
    masked, kept = shown[hidden] == MASK, shown[hidden] == targets
    assert masked.mean() == pytest.approx(0.8, abs=0.03)
    # A random token is now and then the right one: 55 ordinary entries.
    assert kept.mean() == pytest.approx(0.1 + 0.1 / 55, abs=0.02)
    assert not np.isin(shown[hidden][~masked], [0, 1, 2, 3]).any()


def test_same_draw_hides_the_same(examples: MaskedExamples) -> None:
    rows = np.array([3, 9])
    first, second, other = (examples.batch(rows, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["input_ids"], other["input_ids"])


def test_at_least_one_word_of_a_batch_is_hidden() -> None:
    tokenizer = new_tokenizer("words", ["1 2 3"] * 2, 100)
    few = mask_texts(tokenizer, ["1 2"], max_tokens=8, language="tokens", whole_words=True, mask_share=0.0001)
    assert [len(few.batch(np.array([0]), np.random.default_rng(seed))["hidden"]) for seed in range(20)] == [1] * 20


def model_for(examples: MaskedExamples) -> MaskedLM:
    torch.manual_seed(0)
    return new_encoder(
        "ernie",
        vocabulary_size=int(examples.ordinary_ids.max()) + 1,
        layers=1,
        hidden_size=32,
        heads=2,
        intermediate_size=64,
        max_positions=64,
        dropout=0.0,
    )


def test_loss_over_hidden_tokens_equals_the_plain_one(examples: MaskedExamples) -> None:
    model = model_for(examples).eval()
    batch = examples.batch(np.arange(20), np.random.default_rng(0))
    labels = torch.full(batch["input_ids"].shape, -100)
    labels.view(-1)[batch["hidden"]] = batch["targets"]
    plain = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels)
    assert MaskedLanguageTask(model)(batch, 0.0).item() == pytest.approx(plain.loss.item(), abs=1e-6)
    logits = plain.logits.flatten(0, 1)[batch["hidden"]]
    assert functional.cross_entropy(logits, batch["targets"]).item() == pytest.approx(plain.loss.item(), abs=1e-6)


def test_packed_texts_give_the_same_loss_and_gradients(examples: MaskedExamples) -> None:
    model = model_for(examples).eval()
    use_own_attention(model)
    batch = examples.batch(np.arange(20), np.random.default_rng(0))
    assert not batch["attention_mask"].all()
    losses = [MaskedLanguageTask(model, packed=packed)(batch, 0.0) for packed in (True, False)]
    torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=1e-6)
    packed, padded = (torch.autograd.grad(loss, list(model.parameters())) for loss in losses)
    torch.testing.assert_close(packed, padded, rtol=0, atol=1e-6)


def test_training_lowers_the_loss_on_unseen_texts(examples: MaskedExamples, tmp_path: Path) -> None:
    recipe = Recipe(
        epochs=3,
        batch_size=32,
        learning_rate=5e-3,
        head_learning_rate=5e-3,
        weight_decay=0.01,
        warmup_share=0.1,
        clip_norm=1.0,
        bf16=False,
        checkpoint_seconds=1e9,
        seed=0,
    )
    model = model_for(examples)
    outcome = pretrain(
        model, examples, examples, recipe, name="test", device=CPU, checkpoint=tmp_path / "c", depends_on=""
    )
    assert outcome.steps == 3 * math.ceil(len(examples.lengths) / 32)
    assert outcome.loss_before is not None and outcome.loss_after is not None
    assert outcome.loss_after < outcome.loss_before - 0.2
    assert outcome.loss_after == evaluate(MaskedLanguageTask(model), examples, 0, CPU, False)
