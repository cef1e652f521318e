"""Which tokens belong to one word, so that masked-language-model training can hide whole words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding
from transformers import PreTrainedTokenizerBase

from polydx.errors import UserError
from polydx.model.tokens import TokenTable, encodings, special_id
from polydx.names import Language
from polydx.text.words import words

NO_WORD = -1
"""Word number of a token that is never hidden: special tokens, `[UNK]` included."""


@dataclass(frozen=True)
class WordTokens:
    """Token ids and, for each, the word it belongs to.

    Attributes:
        tokens: Token ids of the sequences.
        words: `[tokens]`, int32: number of the word, or `NO_WORD`. A word's tokens stand together, and neighbouring
            words of a sequence have different numbers.
    """

    tokens: TokenTable
    words: npt.NDArray[np.int32]


def encode_words(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_tokens: int, language: Language, *, whole_words: bool
) -> WordTokens:
    """Tokenize texts and find their words.

    A text of more than `max_tokens` is cut into sequences of equal length, so that all of it is used; each gets its own
    special tokens. A sequence without any known word is left out.

    Args:
        tokenizer: A fast tokenizer.
        texts: At least one.
        max_tokens: Longest sequence, its two special tokens counted.
        language: `zh` takes jieba's words; else the tokenizer's own word boundaries count.
        whole_words: If not, each token is a word of its own.

    Raises:
        UserError: The tokenizer knows no word of the texts.
    """
    pad, first, last = (special_id(tokenizer, name) for name in ("pad", "cls", "sep"))
    ids: list[npt.NDArray[np.int32]] = []
    numbers: list[npt.NDArray[np.int32]] = []
    for text, encoding in zip(texts, encodings(tokenizer, texts, with_places=True), strict=True):
        text_ids = np.asarray(encoding.ids, dtype=np.int32)
        if not whole_words:
            text_words = np.arange(len(text_ids), dtype=np.int32)
        elif language == "zh":
            text_words = _jieba_numbers(text, encoding)
        else:
            text_words = np.asarray(encoding.word_ids, dtype=np.int32)
        text_words[np.isin(text_ids, tokenizer.all_special_ids)] = NO_WORD
        for part in np.array_split(np.arange(len(text_ids)), max(1, math.ceil(len(text_ids) / (max_tokens - 2)))):
            if (text_words[part] != NO_WORD).any():
                ids.append(np.concatenate([[first], text_ids[part], [last]], dtype=np.int32))
                numbers.append(np.concatenate([[NO_WORD], text_words[part], [NO_WORD]], dtype=np.int32))
    if not ids:
        raise UserError("records", "the tokenizer knows no word of the texts", "use an encoder of their language")
    return WordTokens(TokenTable.of_pieces(ids, pad), np.concatenate(numbers))


def _jieba_numbers(text: str, encoding: Encoding) -> npt.NDArray[np.int32]:
    """Number of the word that holds each token's first character."""
    of_character = np.zeros(len(text) + 1, dtype=np.int32)
    place = 0
    for number, word in enumerate(words(text, "zh")):
        place = text.index(word, place)
        of_character[place : place + len(word)] = number
        place += len(word)
    return of_character[[start for start, _ in encoding.offsets]]
