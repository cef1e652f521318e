"""Early exits of a run's students: macro-F1 against work, for each rule.

    python benchmarks/early_exit.py --run gaiic --output early_exit

The run must have been made with `distil.exits` on. Each fold's student answers its own validation rows, so every figure
is out of fold; thresholds come from the other folds' answers of the whole student, as shipped ones do, and stay where
they are when the knob is turned. Work is counted in multiplications; that rows really leave the batch is timed on the
first fold's rows. Writes OUTPUT.json and OUTPUT.png; the last line printed is the JSON.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertForSequenceClassification,
    ErnieForSequenceClassification,
)

from polydx.artifacts import Floats, write_json
from polydx.cli.needed import need_stacked
from polydx.contest.records import PART, TEXT, TRAIN, read_records
from polydx.distil.exit_answers import exit_probabilities, work_of
from polydx.distil.student import Student
from polydx.ensemble.thresholds import DecisionRule
from polydx.errors import UserError
from polydx.judge.folds import Folds, Integers, read_folds
from polydx.judge.metrics import macro_f1
from polydx.judge.nested import cross_fitted_decisions
from polydx.model.encoders import load_tokenizer
from polydx.model.exit_rules import KINDS, NEVER, ExitRule, leave
from polydx.model.exit_running import run_with_exits
from polydx.model.exit_speeds import SPEEDS, read_speed
from polydx.model.exits import Exits, load_exits
from polydx.model.tokens import TokenTable, encode
from polydx.names import ExitRuleName
from polydx.paths import RunPaths
from polydx.report.canvas import BLUE, GREY, ORANGE, RED, picture, plain
from polydx.resolve import load_settings
from polydx.train.batching import batches_by_tokens
from polydx.train.classification import PREDICTION_TOKENS
from polydx.train.device import prepare
from user_faults import with_exit_status

CPU = torch.device("cpu")
COLOURS: dict[ExitRuleName, str] = {"entropy": BLUE, "patience": ORANGE, "similarity": RED}
TIMED_SPEED = 0.5
REPEATS = 3
"""Timings of which the fastest counts."""


@dataclass(frozen=True)
class FoldStudent:
    """One fold's student and what its exits say of its validation rows.

    Attributes:
        probabilities: `[exits, validation rows, labels]`.
        shares: `[exits]`, share of the work.
    """

    folder: Path
    model: Student
    exits: Exits
    rows: Integers
    probabilities: torch.Tensor
    shares: torch.Tensor

    def at(self, kind: ExitRuleName, speed: float) -> tuple[Floats, float]:
        """Probabilities `[validation rows, labels]` at a speed, and the mean share of the work."""
        rule, cuts, _ = read_speed(self.folder, kind, speed)
        taken = leave(rule, self.probabilities, cuts)
        chosen: Floats = self.probabilities[taken, torch.arange(len(taken))].numpy()
        return chosen, float(self.shares[taken].mean())


def read_student(folder: Path, tokens: TokenTable, rows: Integers) -> FoldStudent:
    """Load a fold's student and let its exits answer."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    if not isinstance(model, BertForSequenceClassification | ErnieForSequenceClassification):
        raise TypeError(f"{folder} holds a {type(model).__name__}")
    exits = load_exits(folder)
    probabilities = exit_probabilities(model, exits, tokens, rows, CPU)
    return FoldStudent(folder, model, exits, rows, probabilities, work_of(model, tokens, rows))


def seconds(student: FoldStudent, tokens: TokenTable, rule: ExitRule, cuts: torch.Tensor) -> float:
    """Seconds to label the student's rows, leaving by a rule: the fastest of a few."""
    batches = [
        tokens.pad(student.rows[places])
        for places in batches_by_tokens(tokens.lengths[student.rows], PREDICTION_TOKENS)
    ]
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        for input_ids, attention_mask in batches:
            run_with_exits(student.model, student.exits, input_ids, attention_mask, rule, cuts)
        taken.append(time.perf_counter() - started)
    return min(taken)


def timed(student: FoldStudent, tokens: TokenTable) -> dict[str, float]:
    """How many times faster each rule is at `TIMED_SPEED` than running every layer for every row."""
    cuts = read_speed(student.folder, KINDS[0], TIMED_SPEED).cuts
    everything = seconds(student, tokens, NEVER, cuts)
    return {
        kind: round(everything / seconds(student, tokens, read_speed(student.folder, kind, TIMED_SPEED).rule, cuts), 2)
        for kind in KINDS
    }


def draw(curves: dict[str, list[dict[str, float]]], whole: float, target: Path) -> None:
    """Macro-F1 against work, one line a rule."""
    with picture(target, 6.0, 4.0) as figure:
        axes = plain(figure.subplots(), "both")
        axes.axhline(whole, color=GREY, linewidth=0.8, linestyle="--")
        for kind in KINDS:
            points = sorted((point["work"], point["macro_f1"]) for point in curves[kind])
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, color=COLOURS[kind], label=kind)
        axes.set(xlabel="share of the whole student's work", ylabel="macro-F1, out of fold", title="Early exits")
        axes.legend(frameon=False)


def measure(paths: RunPaths, folds: Folds, students: list[FoldStudent], rule: DecisionRule) -> dict[str, object]:
    """Score every rule at every speed."""
    scored = folds.scored()
    targets = read_records(paths.records, paths.labels).targets()[scored] > 0
    fold_of_row = folds.fold_of_row(repeat=0)[scored]
    whole = folds.out_of_fold([student.probabilities[-1].numpy() for student in students])[scored]
    full = macro_f1(cross_fitted_decisions(whole, targets, fold_of_row, rule), targets)
    curves: dict[str, list[dict[str, float]]] = {}
    for kind in KINDS:
        curves[kind] = [{"speed": 0.0, "work": 1.0, "macro_f1": round(full, 4)}]
        for speed in SPEEDS:
            answers, work = zip(*(student.at(kind, speed) for student in students), strict=True)
            found = folds.out_of_fold(answers)[scored]
            score = macro_f1(cross_fitted_decisions(found, targets, fold_of_row, rule, fitted_on=whole), targets)
            curves[kind].append({"speed": speed, "work": round(float(np.mean(work)), 3), "macro_f1": round(score, 4)})
    return {"run": paths.name, "layers": len(students[0].shares), "full_macro_f1": round(full, 4), "curves": curves}


@with_exit_status
def main() -> None:
    """Answer, score, time, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="name of a finished run under runs/")
    parser.add_argument("--output", type=Path, default=Path("early_exit"))
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    prepare(options.threads, seed=0)
    paths = RunPaths(options.run)
    settings = load_settings(paths.settings)
    if not settings.distil.enabled or settings.distil.exits == "none":
        raise UserError(str(paths.settings), "has no student with early exits", "run it with distil.exits=joint")
    need_stacked(paths, settings)
    stack = settings.stack
    records, folds = read_records(paths.records, paths.labels), read_folds(paths.folds)
    train = np.flatnonzero(records.table[PART].to_numpy() == TRAIN)
    tokenizer = load_tokenizer(paths.student(0).model)
    tokens = encode(tokenizer, records.table[TEXT].tolist(), settings.distil.max_tokens)
    students = [
        read_student(paths.student(job).model, tokens, train[folds.validation(job)]) for job in range(folds.jobs)
    ]
    rule = DecisionRule(stack.threshold_prior, stack.min_labels, stack.max_labels, stack.thresholds)
    summary = measure(paths, folds, students, rule) | {f"speedup_at_{TIMED_SPEED}": timed(students[0], tokens)}
    write_json(options.output.with_suffix(".json"), summary)
    draw(summary["curves"], summary["full_macro_f1"], options.output.with_suffix(".png"))
    print(json.dumps(summary))


if __name__ == "__main__":
    sys.exit(main())
