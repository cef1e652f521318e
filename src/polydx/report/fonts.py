"""How names are written in pictures: matplotlib's own font knows no Chinese, and empty boxes say nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

DEFAULT_FAMILY = "DejaVu Sans"
PLACEHOLDER_FAMILIES = ("Last Resort",)
"""Fonts that map every character, to a box."""


@dataclass(frozen=True)
class AxisNames:
    """Names as a picture can show them.

    Attributes:
        family: The font family to draw with.
        shown: One text a name: the name itself, or its number from 1 where no installed font has its characters.
        numbered: Whether `shown` are numbers.
    """

    family: str
    shown: tuple[str, ...]
    numbered: bool


def axis_names(names: Sequence[str], numbers: Sequence[int]) -> AxisNames:
    """Choose a font for the names, or their numbers in place of them.

    Args:
        names: What to write.
        numbers: The number that stands for each name where it can't be written.
    """
    family = _covering_family("".join(sorted(set("".join(names)))))
    if family is None:
        return AxisNames(DEFAULT_FAMILY, tuple(str(number) for number in numbers), numbered=True)
    return AxisNames(family, tuple(names), numbered=False)


def _covering_family(characters: str) -> str | None:
    """The default family, or the alphabetically first installed one, that has all characters."""
    wanted = {ord(character) for character in characters}
    fonts = sorted(
        font_manager.fontManager.ttflist, key=lambda font: (font.name != DEFAULT_FAMILY, font.name, font.fname)
    )
    for font in fonts:
        regular = font.style == "normal" and str(font.weight) in ("400", "normal", "regular")
        if (
            regular
            and not font.name.startswith(PLACEHOLDER_FAMILIES)
            and wanted <= FT2Font(font.fname).get_charmap().keys()
        ):
            return font.name
    return None
