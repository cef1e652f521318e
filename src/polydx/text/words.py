"""The words of a text, by language."""

import re
from functools import cache
from typing import TYPE_CHECKING

from polydx.names import Language

if TYPE_CHECKING:
    from jieba import Tokenizer

_LETTERS_AND_DIGITS = re.compile(r"[^\W_]+")
_NO_WHITE_SPACE = re.compile(r"\S+")


def words(text: str, language: Language) -> list[str]:
    """Return the words of `text` in order.

    Args:
        text: Normalised text.
        language: `zh`: jieba's words, punctuation included, in their own case, so that they join to the text but for
            white space; `en`: runs of letters and digits, lower case; `tokens`: what white space separates.
    """
    if language == "tokens":
        return text.split()
    if language == "en":
        return _LETTERS_AND_DIGITS.findall(text.lower())
    return [word for word in _segmenter().lcut(text) if not word.isspace()]


def word_spans(text: str, language: Language) -> list[tuple[int, int]]:
    """Return where the words of `words` stand: (start, end) of each in `text`."""
    if language == "zh":
        return [(start, end) for word, start, end in _segmenter().tokenize(text) if not word.isspace()]
    pattern = _LETTERS_AND_DIGITS if language == "en" else _NO_WHITE_SPACE
    return [found.span() for found in pattern.finditer(text)]


@cache
def _segmenter() -> "Tokenizer":
    """Return jieba's segmenter, loaded once a process.

    jieba's own set-up reads and writes `jieba.cache` in the machine's temporary folder, where any user may have put
    something; this one reads the dictionary that the package ships (about a second).
    """
    from jieba import Tokenizer

    tokenizer = Tokenizer()
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    return tokenizer
