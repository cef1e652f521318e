"""One written form: what is unified, what must survive, and that a second pass changes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polydx.text.normalise import SectionCleaner, normalise, normalise_counting, strip_headings

PIECES = (
    *("主诉：", "主诉:", "【主诉】", "[主诉]", "主诉", "无", "。", "“", ":", " "),
    *("ＡＢＣ１２", "℃", "×10^9/L", "㎜Hg", "㎡", "e\u0301", "ｶﾞ", "⼀"),
    *("<br/>", "<sup>", "<b", ">", "<!--", "-->", "&lt;", "&amp;", "amp;", "&#65308;", "&#xD800;"),
    *("\u200b", "\ufeff", "\u3000", "\x00", "\ud800"),
)
MESS = st.lists(st.one_of(st.text(max_size=6), st.sampled_from(PIECES)), max_size=8).map("".join)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("ＷＢＣ　１２．５×１０＾９／Ｌ", "WBC 12.5×10^9/L"),
        ("体温３８．５℃，血压１２０／８０㎜Hg；", "体温38.5℃,血压120/80mmHg;"),
        ("体表面积1.7㎡、m²、µg、μmol、10⁹、½、Ⅱ型、①", "体表面积1.7m²、m²、µg、μmol、10⁹、½、Ⅱ型、①"),
        ("“肝炎”（否认）！", '"肝炎"(否认)!'),
        ("无发热。", "无发热。"),
        ("<p>咳嗽</p><br/>咳<b>痰</b>&nbsp;2天", "咳嗽 咳痰 2天"),
        ("WBC 10<sup>9</sup>/L", "WBC 10^9/L"),
        ("CRP<5，N>70%", "CRP<5,N>70%"),
        ("P&lt;0.05 &amp;amp; R&D &unknown;", "P<0.05 & R&D &unknown;"),
        ("＆ｌｔ；b＞x", "x"),
        ("咳\u200b嗽\ufeff\x00 \u3000\t2 天\r\n", "咳嗽 2 天"),
        ("a\ud800b", "ab"),
        ("e\u0301", "é"),
        ("", ""),
    ],
)
def test_written_form(raw: str, clean: str) -> None:
    assert normalise(raw, "zh") == clean


def test_tokens_keep_every_token() -> None:
    assert normalise("  12 <b> &lt; ＡＢ\u200b 7 ", "tokens") == "12 <b> &lt; ＡＢ 7"


def test_changes_are_named() -> None:
    assert normalise_counting("１ <br>\u200bx ", "zh")[1] == {"width", "html", "control", "whitespace"}
    assert normalise_counting("x", "zh")[1] == set()


@given(MESS, st.sampled_from(["zh", "en", "tokens"]))
def test_normalising_twice_is_normalising_once(text: str, language: str) -> None:
    once = normalise(text, language)  # type: ignore[arg-type]
    assert normalise_counting(once, language) == (once, set())  # type: ignore[arg-type]


@given(MESS)
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    cleaner = SectionCleaner(("主诉", "主诉:既往"), ("无", "-"), "zh")
    once, _ = cleaner.clean(text)
    assert cleaner.clean(once) == (once, set())


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("主诉:主诉:反复咳嗽", "反复咳嗽"),
        ("主诉 : 反复咳嗽", "反复咳嗽"),
        ("【主诉】反复咳嗽", "反复咳嗽"),
        ("[主诉]:反复咳嗽", "反复咳嗽"),
        ("主诉", ""),
        ("主诉:", ""),
        ("主诉不清", "主诉不清"),
        ("现病史:主诉:咳嗽", "主诉:咳嗽"),
        ("病史:现病史:咳嗽", "咳嗽"),
    ],
)
def test_headings(text: str, without: str) -> None:
    headings = ("主诉",) if "病史" not in text or text.startswith("主诉") else ("现病史", "病史")
    assert strip_headings(text, headings) == without


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("无", None),
        ("无。", None),
        ("Ｎ／Ａ", None),
        ("NAN", None),
        ("主诉：无", None),
        ("主诉：", None),
        (" ", None),
        ("。", None),
        (None, None),
        ("无发热", "无发热"),
    ],
)
def test_placeholders_are_missing(raw: str | None, clean: str | None) -> None:
    cleaner = SectionCleaner(("主诉",), ("无", "N/A", "nan"), "zh")
    assert cleaner.clean(raw)[0] == clean
