"""Every fusion of a finished run as a Markdown table: what it is worth when nothing fitted saw the scored rows.

    python benchmarks/fusion_table.py ohsumed

Read from `submissions/RUN/scores.json`; nothing is computed anew. `nested` is macro-F1 out of fold, with weights,
trees, thresholds and choice from other folds; `un-nested` is the same fitted on the very rows that are scored, which is
no score. Differences are paired: both sides are scored on the same resampled records. Intervals are 95%. The first line
is the best single input, with which every other one is compared, as with the plain mean.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from polydx.artifacts import read_json
from polydx.ensemble.fusions import MEAN
from polydx.errors import UserError
from polydx.paths import RunPaths
from polydx.report.card import Json, ScoreLine, score_lines
from user_faults import with_exit_status

HEADINGS = ("entry", "nested", "un-nested", "test", "− mean", "− best single")


def fusion_table(lines: Sequence[ScoreLine], best_single: str) -> list[str]:
    """The lines of the table: the best single input, the fusions, and the final choice in bold."""
    rows = [HEADINGS, tuple("---" for _ in HEADINGS)]
    for line in lines:
        if line.entry == best_single or line.kind in {"fusion", "final"}:
            rows.append(
                (
                    f"**{line.entry}**" if line.kind == "final" else line.entry,
                    _scored(line.oof, line.oof_interval),
                    f"{line.optimistic:.3f}",
                    _scored(line.test, line.test_interval),
                    "" if line.entry == MEAN else _scored(line.minus_mean, line.minus_mean_interval, sign="+"),
                    ""
                    if line.entry == best_single
                    else _scored(line.minus_best_single, line.minus_best_single_interval, sign="+"),
                )
            )
    return [f"| {' | '.join(row)} |" for row in rows]


def _scored(value: float | None, interval: tuple[float, float] | None, *, sign: str = "") -> str:
    if value is None or interval is None:
        return "–"
    low, high = (f"{bound:{sign}.3f}" for bound in interval)
    return f"{value:{sign}.3f} ({low} to {high})"


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
