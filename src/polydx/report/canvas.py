"""What all pictures share: the look, and writing the same bytes for the same values."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from polydx.artifacts import replacing
from polydx.report.fonts import DEFAULT_FAMILY

BLUE, ORANGE, GREY, RED = "#2f6db3", "#e08a1e", "#8a8f98", "#c0392b"
PART_COLOURS = {"train": BLUE, "test": ORANGE, "unlabelled": GREY}
DOTS_PER_INCH = 110


@contextlib.contextmanager
def picture(target: Path, width: float, height: float, family: str = DEFAULT_FAMILY) -> Iterator[Figure]:
    """Yield an empty figure and write it as PNG when the block ends well.

    Args:
        target: File to write.
        width: Inches.
        height: Inches.
        family: Font family of all text.
    """
    with matplotlib.rc_context(
        {
            "font.family": family,
            "font.size": 9,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "text.parse_math": False,  # a dollar in a label's name is none
        }
    ):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        with replacing(target) as temporary:
            figure.savefig(temporary, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})


def plain(axes: Axes, grid: Literal["x", "y", "both"] = "x") -> Axes:
    """Take the frame away and leave a light grid along one axis."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color="#d9dce1", linewidth=0.6)
    axes.set_axisbelow(True)
    return axes
