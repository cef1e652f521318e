"""How untidily a record is typed: ages and sexes in all spellings, headings, width, HTML, spaces, placeholders."""

from random import Random

from polydx.contest.sample.facts import Patient, Section

PLACEHOLDERS: tuple[str | None, ...] = (None, "", "无", "暂缺", "无。", " ")
HEADINGS: dict[str, tuple[str, ...]] = {
    "chief": ("主诉：", "主诉:", "主诉： 主诉："),
    "present": ("现病史：", "现病史:", "【现病史】"),
    "past": ("既往史：", "既往史:", "【既往史】"),
    "exam": ("体格检查：", "查体：", "体格检查:"),
    "tests": ("辅助检查：", "辅助检查:", "【辅助检查】"),
}
_FULL_WIDTH = str.maketrans({code: code + 0xFEE0 for code in range(0x21, 0x7F) if chr(code) not in "<>&;^"})
_HALF_WIDTH = str.maketrans("，：；（）％／＋－", ",:;()%/+-")
_MEN, _WOMEN = ("男", "男性", "男", "男 ", "M"), ("女", "女性", "女", " 女", "F")
_TAGS = ("<br/>", "<br>", "&nbsp;", "<p>", "</p>", "&nbsp;&nbsp;", "<span>", "</span>")
_BLANKS = (" ", "  ", "\u3000", "\t", "\r\n")
_DIGITS = "０１２３４５６７８９"
_CHINESE = "零一二三四五六七八九"


def spell_age(draw: Random, patient: Patient) -> str | int | None:
    """Write an age in one of its spellings, or leave it out now and then."""
    if draw.random() < 0.02:
        return draw.choice((None, "", "暂缺"))
    years, months, days = patient.age_years, patient.age_days * 12 // 365, patient.age_days
    if months < 1:
        return draw.choice((f"{days}天", f"D{days}", f"{days}日"))
    if years < 1:
        return draw.choice((f"{months}月", f"M{months}", f"{months}个月"))
    if years < 10 and draw.random() < 0.5:
        return draw.choice((f"{years}岁{months % 12}月", f"Y{years}M{months % 12}", f"{_CHINESE[years]}岁"))
    full_width = str(years).translate(str.maketrans("0123456789", _DIGITS))
    spellings = (f"Y{years}", f"{years}岁", str(years), str(years), years, full_width, f"{full_width}岁", f" {years}岁")
    return draw.choice(spellings)


def spell_sex(draw: Random, patient: Patient) -> str | None:
    """Write a sex in one of its spellings, or leave it out now and then."""
    if draw.random() < 0.01:
        return draw.choice((None, ""))
    return draw.choice(_MEN if patient.sex == "male" else _WOMEN)


def drops_section(draw: Random, section: Section, *, decisive: bool) -> bool:
    """Whether a section is left out: seldom where it holds evidence, never the history of present illness."""
    if section == "present":
        return False
    return draw.random() < (0.02 if decisive else 0.35)


def placeholder(draw: Random) -> str | None:
    """What stands where a section is left out."""
    return draw.choice(PLACEHOLDERS)


def untidy(draw: Random, section: str, text: str, mess: float) -> str:
    """Type a section's text as untidily as `mess` in [0, 1] says; what it states stays."""
    if draw.random() < 0.4 * mess:
        text = text.translate(_FULL_WIDTH)
    elif draw.random() < 0.4 * mess:
        text = text.translate(_HALF_WIDTH)
    if draw.random() < 0.35 * mess:
        text = _sprinkled(draw, text, _TAGS, draw.randint(1, 3))
    if draw.random() < 0.45 * mess:
        text = _sprinkled(draw, text, _BLANKS, draw.randint(1, 3))
    if draw.random() < 0.1 + 0.4 * mess:
        text = draw.choice(HEADINGS[section]) + text
    return text


def _sprinkled(draw: Random, text: str, pieces: tuple[str, ...], number: int) -> str:
    """Put pieces behind some of the text's marks, or at its end, so that no word or value is torn."""
    for _ in range(number):
        places = [index + 1 for index, character in enumerate(text) if character in "。，；"] or [len(text)]
        place = draw.choice(places)
        text = text[:place] + draw.choice(pieces) + text[place:]
    return text
