"""Pictures of the records before any training. Each function writes one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from polydx.judge.order import OrderLeak
from polydx.report.canvas import BLUE, GREY, ORANGE, PART_COLOURS, RED, picture, plain
from polydx.report.fonts import axis_names

Truth = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]

MOST_BARS = 60
MOST_CELLS = 40
NUMBERED = "label number (names in inspection.json)"


def label_counts(target: Path, truth: Truth, names: Sequence[str]) -> None:
    """Draw how many training records carry each label, the most frequent on top.

    Args:
        target: File to write.
        truth: `[training rows, labels]`.
        names: The labels' names.
    """
    records = truth.sum(axis=0)
    order = np.argsort(-records, kind="stable")[:MOST_BARS]
    shown = axis_names([names[label] for label in order], (order + 1).tolist())
    with picture(target, 7.0, 1.2 + 0.19 * len(order), shown.family) as figure:
        axes = plain(figure.subplots())
        bars = axes.barh(np.arange(len(order)), records[order], color=BLUE, height=0.75)
        axes.bar_label(bars, padding=2, fontsize=7, color="#40454d")
        axes.set_yticks(np.arange(len(order)), shown.shown, fontsize=8)
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_xlabel("training records")
        axes.set_ylabel(NUMBERED if shown.numbered else "")
        axes.set_title(
            f"Labels: the {len(order)} most frequent of {len(names)}, {records.sum() / len(truth):.2f} a record"
        )


def co_occurrence(target: Path, truth: Truth, names: Sequence[str]) -> None:
    """Draw the share of each label's records that carry each other label, for the most frequent labels.

    Args:
        target: File to write.
        truth: `[training rows, labels]`.
        names: The labels' names.
    """
    records = truth.sum(axis=0)
    order = np.argsort(-records, kind="stable")[:MOST_CELLS]
    counted = truth[:, order].astype(np.float64)
    share = counted.T @ counted / np.maximum(records[order], 1)[:, None]
    np.fill_diagonal(share, np.nan)
    shown = axis_names([names[label] for label in order], (order + 1).tolist())
    with picture(target, 2.2 + 0.19 * len(order), 1.6 + 0.19 * len(order), shown.family) as figure:
        axes = figure.subplots()
        image = axes.imshow(share, cmap="Blues", vmin=0.0)
        figure.colorbar(image, ax=axes, shrink=0.7, label="share of the row label's records")
        ticks = np.arange(len(order))
        axes.set_xticks(ticks, shown.shown, fontsize=7, rotation=90)
        axes.set_yticks(ticks, shown.shown, fontsize=7)
        axes.set_xlabel(NUMBERED if shown.numbered else "also carry this label")
        axes.set_title("Labels that occur together")


def section_lengths(target: Path, lengths: Mapping[str, Doubles], sections: Sequence[str]) -> None:
    """Draw the lengths of each section in each part, as boxes from the 5th to the 95th percentile.

    Args:
        target: File to write.
        lengths: `[rows, sections]` characters of each part, NaN where a section is missing.
        sections: The sections' names.
    """
    shown = axis_names(sections, range(1, len(sections) + 1))
    offset = 0.8 / len(lengths)
    with picture(target, 8.0, 1.6 + 0.75 * len(sections), shown.family) as figure:
        axes = plain(figure.subplots())
        for number, (part, table) in enumerate(lengths.items()):
            values = [column[~np.isnan(column)] for column in table.T]
            places = np.arange(len(sections)) + (number - (len(lengths) - 1) / 2) * offset
            boxes = axes.boxplot(
                values,
                positions=places,
                widths=offset * 0.8,
                whis=(5, 95),  # codespell:ignore whis
                showfliers=False,
                orientation="horizontal",
                patch_artist=True,
                medianprops={"color": "white", "linewidth": 1.5},
                manage_ticks=False,
            )
            for box in boxes["boxes"]:
                box.set(facecolor=PART_COLOURS[part], edgecolor=PART_COLOURS[part])
            axes.plot([], [], color=PART_COLOURS[part], linewidth=6, label=part)
        axes.set_yticks(np.arange(len(sections)), shown.shown)
        axes.set_ylim(len(sections) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.set_xlabel("characters (box: quartiles, whiskers: 5% to 95%)")
        axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(lengths))
        axes.set_title("Section lengths")


def ages(target: Path, years: Mapping[str, Doubles]) -> None:
    """Draw the distribution of ages in each part.

    Args:
        target: File to write.
        years: Ages of each part's rows, NaN where unknown.
    """
    bins = list(range(0, 106, 5))
    with picture(target, 7.0, 3.4) as figure:
        axes = plain(figure.subplots(), grid="y")
        for part, values in years.items():
            known = values[~np.isnan(values)]
            if len(known):
                weights = np.full(len(known), 1 / len(known))
                label = f"{part} ({len(known)} of {len(values)} known)"
                axes.hist(
                    np.clip(known, 0, bins[-1]),
                    bins,
                    weights=weights,
                    histtype="step",
                    linewidth=1.6,
                    color=PART_COLOURS[part],
                    label=label,
                )
        if axes.patches:
            axes.legend(frameon=False)
        else:
            axes.text(0.5, 0.5, "no record has an age", transform=axes.transAxes, ha="center", color=GREY)
        axes.set_xlabel("age in years")
        axes.set_ylabel("share of records")
        axes.set_title("Ages")


def drift(target: Path, statistics: Mapping[str, float], areas: Sequence[float]) -> None:
    """Draw how the test rows differ from the training rows.

    Args:
        target: File to write.
        statistics: Kolmogorov-Smirnov statistic of each feature.
        areas: Adversarial AUC of each fold; may be empty.
    """
    names = list(statistics)
    shown = axis_names(names, range(1, len(names) + 1))
    with picture(target, 8.0, 1.8 + 0.32 * max(len(names), 3), shown.family) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(3, 1))
        plain(left).barh(np.arange(len(names)), list(statistics.values()), color=BLUE, height=0.7)
        left.set_yticks(np.arange(len(names)), shown.shown)
        left.set_ylim(len(names) - 0.4, -0.6)
        left.set_xlim(0, max(0.2, *statistics.values(), 0.0) * 1.05)
        left.set_xlabel("Kolmogorov-Smirnov statistic, train against test")
        left.set_title("Drift, feature by feature")
        plain(right, grid="y").plot(np.zeros(len(areas)), areas, "o", color=ORANGE, alpha=0.8)
        right.axhline(0.5, color=GREY, linestyle="--", linewidth=1)
        right.set_xticks([])
        right.set_ylim(min(0.4, *areas, 0.4) - 0.02, 1.02)
        right.set_xlabel("a dot a fold")
        right.set_title("Adversarial AUC")


def order_leaks(target: Path, orders: Mapping[str, OrderLeak]) -> None:
    """Draw what each order of the records predicts, beside shuffled orders.

    Args:
        target: File to write.
        orders: What was found, by the order's name; one that leaks is drawn red.
    """
    with picture(target, 7.0, 1.5 + 0.6 * max(len(orders), 1)) as figure:
        axes = plain(figure.subplots())
        for row, order in enumerate(orders.values()):
            axes.barh(row, order.macro_f1, height=0.5, color=RED if order.leaks else BLUE)
            axes.text(order.macro_f1 + 0.015, row, f"{order.macro_f1:.3f}", va="center", fontsize=8)
            axes.plot(order.by_chance, np.full(len(order.by_chance), row), "|", color="black", markersize=16)
        axes.plot([], [], "|", color="black", markersize=10, label="shuffled orders")
        axes.set_yticks(np.arange(len(orders)), list(orders))
        axes.set_ylim(max(len(orders), 1) - 0.5, -0.5)
        if not orders:
            axes.text(0.5, 0, "too few rows have a place in an order", ha="center", color=GREY)
        axes.set_xlim(0, 1)
        axes.set_xlabel("macro-F1 of the neighbours' labels, out of fold, no text read")
        axes.legend(frameon=False, loc="lower right")
        axes.set_title("What the order of the records gives away")
