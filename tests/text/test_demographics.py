"""Ages in every spelling, and sexes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polydx.text.demographics import OLDEST_YEARS, parse_age, parse_sex

DAY = 1 / 365.25


@pytest.mark.parametrize(
    ("written", "years", "spelling"),
    [
        ("7", 7.0, "number"),
        ("48.0", 48.0, "number"),
        ("１２", 12.0, "number"),
        ("二十", 20.0, "number"),
        ("0", 0.0, "number"),
        ("Y48", 48.0, "letter_first"),
        ("y 48", 48.0, "letter_first"),
        ("M8", 8 / 12, "letter_first"),
        ("D10", 10 * DAY, "letter_first"),
        ("Y3M4", 3 + 4 / 12, "letter_first"),
        ("48岁", 48.0, "units"),
        ("48周岁", 48.0, "units"),
        ("３岁", 3.0, "units"),
        ("五岁", 5.0, "units"),
        ("四十八岁", 48.0, "units"),
        ("一百零三岁", 103.0, "units"),
        ("一百〇三岁", 103.0, "units"),
        ("零岁", 0.0, "units"),
        ("〇岁", 0.0, "units"),
        ("零周岁", 0.0, "units"),
        ("零岁三个月", 0.25, "units"),
        ("二〇岁", 20.0, "units"),
        ("3岁4月", 3 + 4 / 12, "units"),
        ("1岁零3个月", 1.25, "units"),
        ("一岁〇三个月", 1.25, "units"),
        ("3岁半", 3.5, "units"),
        ("半岁", 0.5, "units"),
        ("1个半月", 0.125, "units"),
        ("6月", 0.5, "units"),
        ("6个月", 0.5, "units"),
        ("10天", 10 * DAY, "units"),
        ("2周", 14 * DAY, "units"),
        ("36小时", 1.5 * DAY, "units"),
        ("约48岁", 48.0, "units"),
        ("48Y", 48.0, "units"),
        ("6 months old", 0.5, "units"),
        ("48 years", 48.0, "units"),
        ("131", None, "implausible"),
        ("-1", None, "implausible"),
        ("成人", None, "unreadable"),
        ("约", None, "unreadable"),
        ("1970-01-01", None, "unreadable"),
        ("岁", None, "unreadable"),
        ("", None, "missing"),
        (" ", None, "missing"),
        (None, None, "missing"),
    ],
)
def test_age(written: str | None, years: float | None, spelling: str) -> None:
    found, kind = parse_age(written)
    assert kind == spelling
    assert found == (None if years is None else pytest.approx(years))


@given(st.text())
def test_any_text_gives_a_plausible_age_or_none(text: str) -> None:
    years, _ = parse_age(text)
    assert years is None or 0.0 <= years <= OLDEST_YEARS


@given(st.integers(0, 130), st.integers(0, 11))
def test_years_and_months_agree_in_every_spelling(years: int, months: int) -> None:
    spellings = (f"{years}岁{months}月", f"Y{years}M{months}", f"{years}y{months}m", f"{years} years {months} months")
    expected = years + months / 12
    for spelling in spellings:
        assert parse_age(spelling)[0] == (pytest.approx(expected) if expected <= OLDEST_YEARS else None)


@pytest.mark.parametrize(
    ("written", "sex", "spelling"),
    [
        ("男", "male", "known"),
        ("男性", "male", "known"),
        ("Ｍ", "male", "known"),
        ("Female", "female", "known"),
        ("女 ", "female", "known"),
        ("不明", None, "unreadable"),
        ("1", None, "unreadable"),
        (None, None, "missing"),
        ("", None, "missing"),
    ],
)
def test_sex(written: str | None, sex: str | None, spelling: str) -> None:
    assert parse_sex(written) == (sex, spelling)
