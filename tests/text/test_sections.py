"""The composed text."""

import pytest

from polydx.text.sections import compose


def test_all_parts_in_chinese() -> None:
    sections = [("主诉", "反复咳嗽2月。"), ("既往史", None), ("现病史", "咳嗽")]
    text, ends = compose("male", 7.0, sections, "zh")
    assert text == "男 7岁 主诉:反复咳嗽2月。 现病史:咳嗽"
    assert [text[start:end].lstrip() for start, end in zip((0, *ends), ends, strict=False)] == [
        "男",
        "7岁",
        "主诉:反复咳嗽2月。",
        "现病史:咳嗽",
    ]


def test_a_bare_section_is_itself() -> None:
    assert compose(None, None, [("", "12 7 9")], "tokens") == ("12 7 9", (6,))
    assert compose("female", 48.6, [("", "Chest pain.")], "en").text == "female 48 years Chest pain."


def test_nothing_known_is_the_empty_text() -> None:
    assert compose(None, None, [("主诉", None)], "zh") == ("", ())


@pytest.mark.parametrize(
    ("years", "words"), [(3 + 4 / 12, "3岁"), (0.5, "6月"), (1 / 12, "1月"), (10 / 365.25, "10天"), (0.0, "0天")]
)
def test_ages_below_one_year(years: float, words: str) -> None:
    assert compose(None, years, [], "zh").text == words
