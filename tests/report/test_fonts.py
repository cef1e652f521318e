import warnings
from pathlib import Path

from polydx.report.canvas import picture
from polydx.report.fonts import DEFAULT_FAMILY, axis_names

UNENCODED = "\U000e1234"
"""A character that no font has, but for fonts of placeholder boxes."""


def test_plain_names_are_written_in_the_default_font() -> None:
    shown = axis_names(["Pneumonia", "Café"], [1, 2])
    assert (shown.family, shown.shown, shown.numbered) == (DEFAULT_FAMILY, ("Pneumonia", "Café"), False)


def test_a_character_that_no_font_has_turns_names_into_numbers() -> None:
    shown = axis_names(["Pneumonia", UNENCODED], [4, 7])
    assert (shown.family, shown.shown, shown.numbered) == (DEFAULT_FAMILY, ("4", "7"), True)


def test_dollars_in_a_name_are_no_mathematics(tmp_path: Path) -> None:
    with picture(tmp_path / "names.png", 2, 2) as figure:
        figure.subplots().set_yticks([0, 1], [r"$\alpha_$", "$5 to $9"])
    assert (tmp_path / "names.png").stat().st_size > 0


def test_chinese_names_are_drawn_without_a_missing_glyph(tmp_path: Path) -> None:
    shown = axis_names(["肺炎", "骨折"], [1, 2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with picture(tmp_path / "names.png", 2, 2, shown.family) as figure:
            figure.subplots().set_yticks([0, 1], shown.shown)
    assert (tmp_path / "names.png").stat().st_size > 0
