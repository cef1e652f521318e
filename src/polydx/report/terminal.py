"""Tables for the terminal."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from polydx.report.card import MaskedLmLoss, ScoreLine

WIDTH = 110
"""Columns where the output is no terminal and has no width of its own."""


def print_scores(run: str, lines: Sequence[ScoreLine], losses: Mapping[str, MaskedLmLoss]) -> None:
    """Print a run's score table and its encoders' pre-training to standard output.

    Args:
        run: The run's name.
        lines: One a score.
        losses: Held-out masked-LM loss of each encoder.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(score_table(run, lines))
    for encoder, loss in losses.items():
        shown = " → ".join(
            "not measured" if value is None else f"{value:.3f}" for value in (loss["before"], loss["after"])
        )
        console.print(f"Held-out masked-LM loss of {encoder}: {shown}", markup=False, highlight=False)


def score_table(run: str, lines: Sequence[ScoreLine]) -> Table:
    """The scores as a table, the final choice set off and in bold."""
    table = Table(title=f"Macro-F1 of run {run}", title_justify="left")
    table.add_column("entry", no_wrap=True)
    for heading in ("out of fold", "95% interval", "test", "95% interval", "pseudo-rows", "adversarial steps"):
        table.add_column(heading, justify="right")
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


def _interval(interval: tuple[float, float] | None) -> str:
    return "–" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"
