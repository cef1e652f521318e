"""The text that models read: sex, age and every section with its heading."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from polydx.names import Language
from polydx.text.demographics import DAYS_A_YEAR, Sex

_SEX_WORDS: dict[str, dict[Sex, str]] = {
    "zh": {"male": "男", "female": "女"},
    "en": {"male": "male", "female": "female"},
    "tokens": {"male": "male", "female": "female"},
}
_AGE_UNITS = {"zh": ("岁", "月", "天"), "en": (" years", " months", " days"), "tokens": (" years", " months", " days")}


class Composed(NamedTuple):
    """A text, and the places where its parts (sex, age, sections) end, in characters; a blank stands between parts."""

    text: str
    ends: tuple[int, ...]


def compose(
    sex: Sex | None, age_years: float | None, sections: Sequence[tuple[str, str | None]], language: Language
) -> Composed:
    """Return one text, such as "男 7岁 主诉:反复咳嗽2月。 现病史:…"; unknown parts are left out.

    Args:
        sex: The sex, or None.
        age_years: Years, or None.
        sections: (heading, text) in reading order; a section without a heading ("") is its bare text.
        language: Language of the words for sex and age.
    """
    parts = [] if sex is None else [_SEX_WORDS[language][sex]]
    if age_years is not None:
        parts.append(_age_words(age_years, language))
    parts += [f"{heading}:{text}" if heading else text for heading, text in sections if text is not None]
    ends = (end - 1 for end in accumulate(len(part) + 1 for part in parts))
    return Composed(" ".join(parts), tuple(ends))


def _age_words(age_years: float, language: Language) -> str:
    """Return whole years; months below one year, days below one month."""
    years, months, days = _AGE_UNITS[language]
    if age_years >= 1.0:
        return f"{math.floor(age_years)}{years}"
    whole_months = math.floor(age_years * 12 + 1e-9)  # 6/12 * 12 may fall short of 6
    if whole_months >= 1:
        return f"{whole_months}{months}"
    return f"{round(age_years * DAYS_A_YEAR)}{days}"
