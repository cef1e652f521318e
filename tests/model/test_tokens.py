from random import Random
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from polydx.model import tokens
from polydx.model.tokenizers import new_tokenizer
from polydx.model.tokens import TokenTable, encode
from polydx.names import TokenizerName

TEXTS = ["a b c", "b", "", "c c a b a"]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return new_tokenizer("words", ["a b c"] * 3, 20)


@pytest.mark.parametrize("kind", get_args(TokenizerName))
def test_encoding_equals_the_tokenizers_own_row_by_row(kind: TokenizerName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "ENCODE_CHUNK", 3)
    texts = [*TEXTS, "Fever, 发热3天 unheard-of", "feverish coughs"]
    tokenizer = new_tokenizer(kind, ["a b c fever cough 发热 3天", "Fever, coughing"] * 3, 40)
    table = encode(tokenizer, texts, 5)
    assert table.pad_id == tokenizer.pad_token_id
    assert (table.ids.dtype, table.starts.dtype) == (np.int32, np.int64)
    for row, text in enumerate(texts):
        expected = tokenizer(text, truncation=True, max_length=5)["input_ids"]
        assert table.ids[table.starts[row] : table.starts[row + 1]].tolist() == expected
    assert table.lengths.tolist()[:4] == [5, 3, 2, 5]


def test_no_texts_make_an_empty_table(tokenizer: PreTrainedTokenizerFast) -> None:
    table = encode(tokenizer, [], 5)
    assert (len(table.ids), table.lengths.tolist()) == (0, [])


def test_a_tokenizer_without_padding_is_a_bug(tokenizer: PreTrainedTokenizerFast) -> None:
    bare = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    with pytest.raises(TypeError, match="no pad token"):
        encode(bare, TEXTS, 5)


@given(st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=12), min_size=1, max_size=20), st.randoms())
def test_padding_equals_a_slow_reference(texts: list[list[int]], random: Random) -> None:
    flat = np.array([token for text in texts for token in text], dtype=np.int32)
    table = TokenTable(flat, np.cumsum([0, *(len(text) for text in texts)]), pad_id=7)
    rows = np.array([random.randrange(len(texts)) for _ in range(random.randint(1, 9))])
    input_ids, attention_mask = table.pad(rows)
    width = max(len(texts[row]) for row in rows)
    assert input_ids.tolist() == [texts[row] + [7] * (width - len(texts[row])) for row in rows]
    assert attention_mask.tolist() == [[1] * len(texts[row]) + [0] * (width - len(texts[row])) for row in rows]
