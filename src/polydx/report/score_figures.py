"""Pictures of a run's scores. Each function writes one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from polydx.ensemble.stack_columns import column_kind
from polydx.report.canvas import BLUE, GREY, ORANGE, RED, picture, plain
from polydx.report.card import ScoreLine
from polydx.report.fonts import axis_names

Doubles = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

MOST_LABELS = 80
MOST_COLUMNS = 20
NUMBERED = "label number (its place in the label list)"
KIND_COLOURS = {"member": BLUE, "student": ORANGE, "fusion": GREY, "final": RED}


def scores(target: Path, lines: Sequence[ScoreLine]) -> None:
    """Draw every out-of-fold macro-F1 with its interval.

    Args:
        target: File to write.
        lines: One a score, drawn from the top.
    """
    with picture(target, 7.5, 1.3 + 0.28 * len(lines)) as figure:
        axes = plain(figure.subplots())
        for row, line in enumerate(lines):
            low, high = line.oof_interval
            colour = KIND_COLOURS[line.kind]
            axes.plot([low, high], [row, row], color=colour, linewidth=2)
            axes.plot(line.oof, row, "o", color=colour)
            axes.annotate(f"{line.oof:.4f}", (high, row), (6, 0), textcoords="offset points", va="center", fontsize=8)
        axes.set_yticks(np.arange(len(lines)), [line.entry for line in lines])
        axes.set_ylim(len(lines) - 0.4, -0.6)
        axes.margins(x=0.12)
        axes.set_xlabel("macro-F1 out of fold, with 95% bootstrap interval")
        axes.set_title("Honest scores")


def label_f1(target: Path, f1: Doubles, positives: Counts, names: Sequence[str]) -> None:
    """Draw the final choice's F1 of each label out of fold, the best on top.

    Of more than `MOST_LABELS` labels only the best and the worst half as many are drawn, with a line where they part.

    Args:
        target: File to write.
        f1: `[labels]`, in [0, 1].
        positives: `[labels]`, scored rows that carry the label.
        names: The labels' names.
    """
    order, half, title = np.argsort(-f1, kind="stable"), MOST_LABELS // 2, "Final choice, label by label"
    cut = len(order) > MOST_LABELS
    if cut:
        title += f":\nthe best {half} and the worst {half} of {len(order)}"
        order = np.concatenate([order[:half], order[-half:]])
    shown = axis_names([names[label] for label in order.tolist()], (order + 1).tolist())
    with picture(target, 7.0, 1.3 + 0.19 * len(order), shown.family) as figure:
        axes = plain(figure.subplots())
        rows = np.arange(len(order))
        axes.hlines(rows, 0, f1[order], color=BLUE, linewidth=1.5)
        axes.plot(f1[order], rows, "o", color=BLUE, markersize=4)
        for row, label in enumerate(order.tolist()):
            axes.annotate(
                f"{positives[label]}",
                (f1[label], row),
                (6, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
                color=GREY,
            )
        axes.axvline(f1.mean(), color=RED, linestyle="--", linewidth=1, label=f"macro-F1 {f1.mean():.4f}")
        if cut:
            axes.axhline(half - 0.5, color=GREY, linewidth=1)
        axes.set_yticks(rows, shown.shown, fontsize=8)
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_xlim(0, 1.05)
        axes.set_ylabel(NUMBERED if shown.numbered else "")
        axes.set_xlabel("F1 out of fold (grey: records that carry the label)")
        axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0))
        axes.set_title(title)


def thresholds(target: Path, cuts: Doubles, positives: Counts) -> None:
    """Draw each label's threshold against how frequent it is.

    Args:
        target: File to write.
        cuts: `[labels]`, in [0, 1].
        positives: `[labels]`, scored rows that carry the label.
    """
    with picture(target, 7.0, 3.8) as figure:
        axes = plain(figure.subplots(), grid="both")
        axes.scatter(np.maximum(positives, 1), cuts, s=18, color=BLUE, alpha=0.8, linewidths=0)
        axes.axhline(0.5, color=GREY, linestyle="--", linewidth=1)
        axes.set_xscale("log")
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("scored records that carry the label")
        axes.set_ylabel("threshold")
        axes.set_title("Thresholds of the final choice")


def importance(target: Path, shares: Mapping[str, float]) -> None:
    """Draw what the stacker's trees gained by: kinds of columns on top, the columns that gained most below.

    Args:
        target: File to write.
        shares: Each column's share of the gain in [0, 1], largest first, by name as of `column_names`.
    """
    kinds: dict[str, float] = {}
    for name, share in shares.items():
        kinds[column_kind(name)] = kinds.get(column_kind(name), 0.0) + share
    by_kind = sorted(kinds.items(), key=lambda kind: -kind[1])
    columns = list(shares.items())[:MOST_COLUMNS]
    shown = axis_names([name for name, _ in columns], list(range(1, len(columns) + 1)))
    heights = [len(by_kind) + 2, len(columns) + 2]
    with picture(target, 7.5, 0.6 + 0.22 * sum(heights), shown.family) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=heights)
        _bars(plain(above), [kind for kind, _ in by_kind], [share for _, share in by_kind], RED)
        above.set_title("What the stacker's trees gain by")
        _bars(plain(below), shown.shown, [share for _, share in columns], BLUE)
        below.set_ylabel("column number (its place by gain)" if shown.numbered else "")
        below.set_xlabel("share of the gain in likelihood, summed over all labels' models")


def _bars(axes: Axes, names: Sequence[str], shares: Sequence[float], colour: str) -> None:
    """Horizontal bars from the top, each with its share."""
    rows = np.arange(len(names))
    axes.barh(rows, shares, color=colour, height=0.6)
    for row, share in enumerate(shares):
        axes.annotate(f"{share:.1%}", (share, row), (4, 0), textcoords="offset points", va="center", fontsize=7)
    axes.set_yticks(rows, names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.margins(x=0.1)
