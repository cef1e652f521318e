"""Age and sex from the spellings that records use."""

import re
from typing import Literal

from polydx.text.normalise import normalise

Sex = Literal["male", "female"]
AgeSpelling = Literal["number", "letter_first", "units", "missing", "implausible", "unreadable"]
"""How an age was written: "48"; "Y48"; "3岁4月", "五岁", "6 months" or "48Y"; or why there is none."""
SexSpelling = Literal["known", "missing", "unreadable"]

OLDEST_YEARS = 130.0
DAYS_A_YEAR = 365.25

_UNITS = {
    "y": ("岁", "周岁", "年", "y", "yr", "yrs", "year", "years", "year old", "years old", "yo"),
    "m": ("月", "个月", "月龄", "m", "mo", "mos", "month", "months", "month old", "months old"),
    "w": ("周", "星期", "w", "wk", "wks", "week", "weeks", "week old", "weeks old"),
    "d": ("天", "日", "日龄", "d", "day", "days", "day old", "days old"),
    "h": ("小时", "时", "h", "hour", "hours"),
}
_YEARS_OF = {"y": 1.0, "m": 1 / 12, "w": 7 / DAYS_A_YEAR, "d": 1 / DAYS_A_YEAR, "h": 1 / (24 * DAYS_A_YEAR)}
_NUMBER = r"\d+(?:\.\d+)?"
_PLAIN = re.compile(rf"-?{_NUMBER}")
_LETTER_FIRST = re.compile("".join(rf"(?:{unit}\s*(?P<{unit}>{_NUMBER})\s*)?" for unit in _UNITS))
_UNIT_LAST = re.compile(
    "".join(
        rf"(?:[零〇又]?\s*(?P<{unit}>{_NUMBER})\s*(?:{'|'.join(sorted(names, key=len, reverse=True))})"
        rf"(?P<{unit}_half>半)?\s*)?"
        for unit, names in _UNITS.items()
    )
)
_HALF_UNIT = re.compile(r"半(?=个?[岁年月])|(?<=\d)个半(?=月)")
_CHINESE_NUMBER = re.compile(
    r"[一二两三四五六七八九十百](?:[零〇一二三四五六七八九十百]*[一二三四五六七八九十百])?"
    r"|[零〇](?=周?岁|个?月|天|日|小时)"  # before a number it joins: 1岁零3个月
)
_DIGITS = {character: value for value, character in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
_APPROXIMATE = re.compile(r"^(?:约|大约|现年|年龄)\s*")

_SEXES: dict[str, Sex] = {
    **dict.fromkeys(("男", "男性", "男孩", "男童", "男婴", "男士", "m", "male", "man", "boy"), "male"),
    **dict.fromkeys(("女", "女性", "女孩", "女童", "女婴", "女士", "f", "female", "woman", "girl"), "female"),
}


def parse_age(value: str | None) -> tuple[float | None, AgeSpelling]:
    """Return the age in years and how it was written.

    Args:
        value: "Y48", "48岁", "3岁4月", "7", "6月", "M8", "10天", "D10", "３岁", "五岁", "半岁", "48.0" …; a bare number
            is years.

    Returns:
        Years in [0, 130], or None where the text is missing, unreadable or out of that range.
    """
    text = normalise(value, "zh").casefold() if value is not None else ""
    if not text:
        return None, "missing"
    text = _CHINESE_NUMBER.sub(lambda match: str(_chinese_number(match[0])), _APPROXIMATE.sub("", text))
    text = _HALF_UNIT.sub(lambda match: ".5个" if match[0] == "个半" else "0.5", text)
    if not any(character.isdecimal() for character in text):
        return None, "unreadable"
    spelling: AgeSpelling
    if _PLAIN.fullmatch(text):
        years, spelling = float(text), "number"
    elif match := _LETTER_FIRST.fullmatch(text):
        years, spelling = _sum_of_units(match.groupdict()), "letter_first"
    elif match := _UNIT_LAST.fullmatch(text):
        years, spelling = _sum_of_units(match.groupdict()), "units"
    else:
        return None, "unreadable"
    return (years, spelling) if 0.0 <= years <= OLDEST_YEARS else (None, "implausible")


def _sum_of_units(amounts: dict[str, str | None]) -> float:
    """Return years from the amount of each unit; "y_half" and the like stand for "半" behind a unit."""
    return sum(
        (float(amount) + (0.5 if amounts.get(f"{unit}_half") else 0.0)) * years
        for unit, years in _YEARS_OF.items()
        if (amount := amounts[unit]) is not None
    )


def _chinese_number(text: str) -> int:
    """Return the value of a Chinese number below one thousand, as 十二, 四十八, 一百零三 or 四八."""
    total = digit = 0
    for character in text:
        if character in "十百":
            total += max(digit, 1) * (100 if character == "百" else 10)
            digit = 0
        else:
            digit = digit * 10 + _DIGITS[character]
    return total + digit


def parse_sex(value: str | None) -> tuple[Sex | None, SexSpelling]:
    """Return the sex, None where it is missing or in no spelling that is known, and which of these it was."""
    text = normalise(value, "zh").casefold() if value is not None else ""
    if not text:
        return None, "missing"
    sex = _SEXES.get(text)
    return sex, "known" if sex is not None else "unreadable"
