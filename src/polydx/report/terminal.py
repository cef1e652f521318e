"""Tables for the terminal."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from polydx.report.card import MaskedLmLoss, ScoreLine

WIDTH = 110
"""Columns where the output is no terminal and has no width of its own."""
INTERVAL = "95% interval"


def print_scores(run: str, lines: Sequence[ScoreLine], best_single: str, losses: Mapping[str, MaskedLmLoss]) -> None:
    """Print a run's score tables and its encoders' pre-training to standard output.

    Args:
        run: The run's name.
        lines: One a score.
        best_single: The entry that fusions are compared with.
        losses: Held-out masked-LM loss of each encoder.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(score_table(run, lines))
    console.print(difference_table(lines, best_single))
    for encoder, loss in losses.items():
        shown = " → ".join(
            "not measured" if value is None else f"{value:.3f}" for value in (loss["before"], loss["after"])
        )
        console.print(f"Held-out masked-LM loss of {encoder}: {shown}", markup=False, highlight=False)


def score_table(run: str, lines: Sequence[ScoreLine]) -> Table:
    """The scores as a table, the final choice set off and in bold."""
    table = _table(
        f"Macro-F1 of run {run}",
        ("out of fold", INTERVAL, "test", INTERVAL, "pseudo-rows", "adversarial steps"),
    )
    for place, line in enumerate(lines):
        table.add_row(
            line.entry,
            f"{line.oof:.4f}",
            _interval(line.oof_interval),
            "–" if line.test is None else f"{line.test:.4f}",
            _interval(line.test_interval),
            str(line.pseudo_rows),
            str(line.adversarial_steps),
            style="bold" if line.kind == "final" else None,
            end_section=place + 1 < len(lines) and lines[place + 1].kind != line.kind,
        )
    return table


def difference_table(lines: Sequence[ScoreLine], best_single: str) -> Table:
    """What fusing is worth: honest beside optimistic scores, and paired differences, of the fusions and the choice."""
    table = _table(
        f"Fusions out of fold (un-nested: fitted on the scored rows); best single: {best_single}",
        ("nested", "un-nested", "− mean", INTERVAL, "− best single", INTERVAL),
    )
    for line in lines:
        if line.kind in {"fusion", "final"}:
            table.add_row(
                line.entry,
                f"{line.oof:.4f}",
                f"{line.optimistic:.4f}",
                "–" if line.minus_mean is None else f"{line.minus_mean:+.4f}",
                _interval(line.minus_mean_interval, signed=True),
                f"{line.minus_best_single:+.4f}",
                _interval(line.minus_best_single_interval, signed=True),
                style="bold" if line.kind == "final" else None,
            )
    return table


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("entry", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _interval(interval: tuple[float, float] | None, *, signed: bool = False) -> str:
    if interval is None:
        return "–"
    return " to ".join(f"{bound:+.4f}" if signed else f"{bound:.4f}" for bound in interval)
