"""One written form for a record's text: width, HTML, control characters, white space, headings, placeholders.

Full-width letters, digits and marks become half-width ("：" is ":"), since records mix both freely; Chinese marks
without an ASCII twin ("。", "、") stay. This is deliberately less than NFKC, which destroys units: it would turn
`℃` into `°C`, `m²` into `m2` and `10⁹` into `109`.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from html.entities import html5
from typing import Literal

from polydx.names import Language

Change = Literal["width", "html", "control", "whitespace", "heading", "placeholder"]
"""What cleaning changed in one text."""

_FOLDED_FORMS = {"<wide>", "<narrow>", "<small>", "<square>", "<vertical>"}
_KANGXI_RADICALS = range(0x2F00, 0x2FE0)
"""Look like ordinary characters and come out of scanned documents."""
_QUOTES = {"“": '"', "”": '"', "„": '"', "‟": '"', "‘": "'", "’": "'", "‚": "'", "‛": "'"}

_BLOCK_TAG = re.compile(
    r"</?(?:p|br|hr|div|table|thead|tbody|tr|td|th|ul|ol|li|h[1-6]|html|head|body|center|pre)(?:\s[^<>]*)?/?>", re.I
)
_INLINE_TAG = re.compile(
    r"</?(?:span|b|i|u|em|strong|font|a|img|sub|sup|small|big|label|input|o:p)(?:\s[^<>]*)?/?>", re.I
)
_POWER = re.compile(r"(?<=[0-9A-Za-z])<sup(?:\s[^<>]*)?>", re.I)
_COMMENT = re.compile(r"<!--.*?-->", re.S)
_ENTITY = re.compile(r"&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([A-Za-z][A-Za-z0-9]*));")
_TRAILING_MARKS = " 。.,;、"


def normalise(text: str, language: Language) -> str:
    """Return `text` in its one written form; idempotent.

    Args:
        text: Any text.
        language: For `tokens` only control characters and white space are touched, so that no token changes.
    """
    return normalise_counting(text, language)[0]


def normalise_counting(text: str, language: Language) -> tuple[str, set[Change]]:
    """Return what `normalise` returns, and what it changed."""
    changes: set[Change] = set()
    steps = _TOKEN_STEPS if language == "tokens" else _STEPS
    before = None
    while before != text:  # an entity may hide a tag or a full-width mark, so passes repeat until nothing changes
        before = text
        for change, step in steps:
            result = step(text)
            if result != text:
                changes.add(change)
                text = result
    return text, changes


def _fold_width(text: str) -> str:
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", text.translate(_width_table()))


@cache
def _width_table() -> dict[int, str]:
    table = {ord(mark): plain for mark, plain in _QUOTES.items()}
    for code in range(0x2F00, 0x10000):
        form, *points = unicodedata.decomposition(chr(code)).split() or [""]
        if form in _FOLDED_FORMS or code in _KANGXI_RADICALS:
            table[code] = "".join(chr(int(point, 16)) for point in points)
    return table


def _strip_html(text: str) -> str:
    if "<" in text:
        text = _COMMENT.sub(" ", text)
        text = _BLOCK_TAG.sub(" ", text)
        text = _POWER.sub("^", text)  # 10<sup>9</sup>/L is 10^9/L, not 109/L
        text = _INLINE_TAG.sub("", text)
    return _ENTITY.sub(_character, text) if "&" in text else text


def _character(entity: re.Match[str]) -> str:
    decimal, hexadecimal, name = entity.groups()
    if name is not None:
        return html5.get(f"{name};", entity[0])
    code = int(decimal) if decimal is not None else int(hexadecimal, 16)
    return chr(code) if code < 0x110000 else ""


def _drop_controls(text: str) -> str:
    """Drop control, zero-width and unpaired surrogate characters; those that separate become a space."""
    if text.isprintable():
        return text
    return "".join(_printable(character) for character in text)


def _printable(character: str) -> str:
    if unicodedata.category(character) not in {"Cc", "Cf", "Cs"}:
        return character
    return character if character.isspace() else ""


def _collapse_whitespace(text: str) -> str:
    return " ".join(text.split())


_TOKEN_STEPS: tuple[tuple[Change, Callable[[str], str]], ...] = (
    ("control", _drop_controls),
    ("whitespace", _collapse_whitespace),
)
_STEPS: tuple[tuple[Change, Callable[[str], str]], ...] = (("width", _fold_width), ("html", _strip_html), *_TOKEN_STEPS)


@dataclass(frozen=True)
class SectionCleaner:
    """Cleans the texts of one section (one column) of the records.

    Attributes:
        headings: What a text may repeat at its start, with a colon or in brackets ("主诉：", "【主诉】").
        placeholders: Whole texts that stand for a missing one, in any width and case.
        language: How far normalising goes.
    """

    headings: tuple[str, ...]
    placeholders: tuple[str, ...]
    language: Language

    def clean(self, text: str | None) -> tuple[str | None, set[Change]]:
        """Return the cleaned text, None where nothing is left, and what was changed; idempotent."""
        if text is None:
            return None, set()
        text, changes = normalise_counting(text, self.language)
        without = strip_headings(text, self._headings)
        if without != text:
            changes.add("heading")
        if without and without.rstrip(_TRAILING_MARKS).casefold() in self._placeholders:
            return None, changes | {"placeholder"}
        return without or None, changes

    @cached_property
    def _headings(self) -> tuple[str, ...]:
        return tuple(normalise(heading, self.language) for heading in self.headings)

    @cached_property
    def _placeholders(self) -> frozenset[str]:
        """Normalised; with the empty text, since a lone mark says no more than nothing."""
        written = (normalise(placeholder, self.language) for placeholder in self.placeholders)
        return frozenset({""} | {text.rstrip(_TRAILING_MARKS).casefold() for text in written})


def strip_headings(text: str, headings: Sequence[str]) -> str:
    """Remove any of `headings`, each with its colon or brackets, from the start of a normalised text, however often."""
    if not headings:
        return text
    names = "|".join(re.escape(heading) for heading in sorted(headings, key=len, reverse=True))
    repeated = re.compile(rf"(?:(?:{names})\s*:[\s:]*|(?:【(?:{names})】|\[(?:{names})\])[\s:]*)+", re.IGNORECASE)
    text = repeated.sub("", text, count=1) if repeated.match(text) else text
    return "" if text in headings else text
