"""A contest's final score over several fold seeds: the whole pipeline, once a seed.

    python benchmarks/fold_seeds.py configs/ohsumed.yaml contest.folder=data/ohsumed --seeds 3 --peer-score 0.625

Number 0 is the configuration's own run, with its own seed; number K is the run NAME_seedK with `run.seed` K above that,
which deals the folds, weights and batches anew, and without the student, which costs time: it is then missing among the
inputs and, where `stack.fuse_student` is on, among what is fused. Runs are made one after another by `polydx run`;
stopped and started again, this goes on where it was. A run that was finished with the same settings is read as it is,
whatever code it was made with: remove its folder under submissions/ to have it made again.

The table has a line for each seed: the final choice's macro-F1, nested, out of fold; that on the test rows; the gap,
out of fold minus test; and the best single input. The last line is JSON: `macro_f1` is the mean of the final scores,
`spread` the highest minus the lowest, `gap` the largest gap, null where the contest's test labels are unknown.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polydx.artifacts import read_json
from polydx.config import Run, Settings
from polydx.judge.entries import GAP
from polydx.paths import RunPaths
from polydx.report.card import Json, card_entries
from polydx.resolve import load_settings
from user_faults import with_exit_status


@dataclass(frozen=True)
class SeedScore:
    """What one seed's run came to; macro-F1, the test's where its labels are known.

    Attributes:
        seed: The run's seed.
        macro_f1: Of the final choice, out of fold.
        test: Of the final choice on the test rows.
        gap: Out of fold minus test.
        entry: The final choice.
        single: The best single input.
        single_macro_f1: Its score out of fold.
    """

    seed: int
    macro_f1: float
    test: float | None
    gap: float | None
    entry: str
    single: str
    single_macro_f1: float


def seed_overrides(own: Run, number: int) -> list[str]:
    """The settings that make of the configuration's own run that of another seed; none for number 0."""
    if number == 0:
        return []
    return [f"run.name={own.name}_seed{number}", f"run.seed={own.seed + number}", "distil.enabled=false"]


def read_score(card: Json) -> SeedScore:
    """The score of a finished score card."""
    final, singles = card["final"], {name: entry for name, _, entry in card_entries(card)}
    return SeedScore(
        seed=card["seed"],
        macro_f1=final["oof_macro_f1"],
        test=final["test_macro_f1"],
        gap=final[GAP],
        entry=card["choice"]["entry"],
        single=card["best_single"],
        single_macro_f1=singles[card["best_single"]]["oof_macro_f1"],
    )


def is_finished(paths: RunPaths, settings: Settings) -> bool:
    """Whether a run of these very settings has its scores."""
    kept = paths.submission / "settings.json"
    wanted = json.loads(json.dumps(settings.model_dump(mode="json")))
    return paths.scores.is_file() and kept.is_file() and read_json(kept) == wanted


def finish(config: Path, overrides: Sequence[str]) -> RunPaths:
    """Make a run, unless it is finished; `polydx run` itself leaves what is up to date."""
    settings = load_settings(config, overrides)
    paths = RunPaths(settings.run.name)
    if not is_finished(paths, settings):
        program = Path(sys.executable).with_name("polydx")
        done = subprocess.run([program, "run", config, *overrides], stdout=sys.stderr, check=False)
        if done.returncode:
            sys.exit(f"the run {paths.name} ended with exit status {done.returncode}; its words stand above")
    return paths


def table(scores: Sequence[SeedScore], peer: float | None) -> list[str]:
    """The lines of the table, in Markdown."""
    headings = ["seed", "final out of fold", "test", "gap", "chosen", "best single input"]
    rows = [headings + ([] if peer is None else ["− peer"])]
    rows.append(["---"] * len(rows[0]))
    for score in scores:
        rows.append(
            [
                str(score.seed),
                f"{score.macro_f1:.4f}",
                "–" if score.test is None else f"{score.test:.4f}",
                "–" if score.gap is None else f"{score.gap:+.4f}",
                score.entry,
                f"{score.single_macro_f1:.4f} ({score.single})",
            ]
            + ([] if peer is None else [f"{score.macro_f1 - peer:+.4f}"])
        )
    return [f"| {' | '.join(row)} |" for row in rows]


def summarise(name: str, scores: Sequence[SeedScore], peer: float | None) -> Json:
    """The last line's figures."""
    finals, gaps = [score.macro_f1 for score in scores], [score.gap for score in scores if score.gap is not None]
    mean = float(np.mean(finals))
    summary: Json = {
        "benchmark": "fold_seeds",
        "run": name,
        "seeds": [score.seed for score in scores],
        "macro_f1": round(mean, 4),
        "macro_f1_by_seed": [round(final, 4) for final in finals],
        "spread": round(max(finals) - min(finals), 4),
        "gap": round(max(gaps), 4) if gaps else None,
        "best_single_macro_f1": round(float(np.mean([score.single_macro_f1 for score in scores])), 4),
    }
    return summary if peer is None else summary | {"peer": peer, "minus_peer": round(mean - peer, 4)}


@with_exit_status
def main() -> None:
    """Run or read each seed, print; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of every run")
    parser.add_argument(
        "--seeds", type=int, default=3, choices=range(1, 100), metavar="N", help="how many, its own first"
    )
    parser.add_argument("--peer-score", type=float, help="the peer's macro-F1 out of fold")
    options = parser.parse_intermixed_args()
    own = load_settings(options.config, options.overrides).run
    scores = []
    for number in range(options.seeds):
        paths = finish(options.config, [*options.overrides, *seed_overrides(own, number)])
        scores.append(read_score(read_json(paths.scores)))
    print("\n".join(table(scores, options.peer_score)))
    print(json.dumps(summarise(own.name, scores, options.peer_score)))


if __name__ == "__main__":
    sys.exit(main())
