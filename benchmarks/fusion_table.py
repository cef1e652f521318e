"""Every input and fusion of a finished run in Markdown: what it is worth when nothing fitted saw the scored rows.

    python benchmarks/fusion_table.py ohsumed

Read from `submissions/RUN/scores.json`; nothing is computed anew. `nested` is macro-F1 out of fold, with weights,
trees, thresholds and choice from other folds; `un-nested` is the same fitted on the very rows that are scored, which is
no score. Differences are paired: both sides are scored on the same resampled records. Intervals are 95%. Every line is
compared with the plain mean and the best single input, whose own cells stay empty.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from polydx.artifacts import read_json
from polydx.ensemble.fusions import MEAN
from polydx.errors import UserError
from polydx.paths import RunPaths
from polydx.report.card import Json, ScoreLine, score_lines
from user_faults import with_exit_status

HEADINGS = ("entry", "nested", "un-nested", "test", "− mean", "− best single")


def fusion_table(lines: Sequence[ScoreLine], best_single: str) -> list[str]:
    """The lines of the table: the inputs, the fusions, and the final choice in bold."""
    rows = [HEADINGS, tuple("---" for _ in HEADINGS)]
    for line in lines:
        minus_mean = _cell(line.minus_mean, line.minus_mean_interval, signed)
        minus_best = _cell(line.minus_best_single, line.minus_best_single_interval, signed)
        rows.append(
            (
                f"**{line.entry}**" if line.kind == "final" else line.entry,
                _cell(line.oof, line.oof_interval, plain),
                plain(line.optimistic),
                _cell(line.test, line.test_interval, plain),
                "" if line.entry == MEAN else minus_mean,
                "" if line.entry == best_single else minus_best,
            )
        )
    return ["|".join(("", *(f" {cell} " if cell else " " for cell in row), "")) for row in rows]


def plain(value: float) -> str:
    """Three decimals."""
    return f"{value:.3f}"


def signed(value: float) -> str:
    """Three decimals with their sign, that of zero left off."""
    return f"{round(value, 3) or 0:+.3f}".replace("-", "−").replace("+0.000", "0.000")


def _cell(value: float | None, interval: tuple[float, float] | None, show: Callable[[float], str]) -> str:
    if value is None or interval is None:
        return "–"
    low, high = interval
    return f"{show(value)} ({show(low)} to {show(high)})"


def read_card(source: Path) -> Json:
    """A finished run's score card.

    Raises:
        UserError: There is none, or one of an earlier version.
    """
    if not source.is_file():
        raise UserError(str(source), "there is no such file", "finish the run first")
    card: Json = read_json(source)
    if "minus_best_single" not in card["final"]:
        raise UserError(str(source), "was written before differences were kept", "run it again, its models are kept")
    return card


@with_exit_status
def main() -> None:
    """Read, print; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="name of a finished run under submissions/")
    card = read_card(RunPaths(parser.parse_args().run).scores)
    print("\n".join(fusion_table(score_lines(card), card["best_single"])))


if __name__ == "__main__":
    sys.exit(main())
