"""The stacker on many labels: its time and memory, and one classifier a label in scikit-learn beside it.

    python benchmarks/stacking_scale.py --rows 20000 --labels 1000 --members 6
    python benchmarks/stacking_scale.py --compared-only --threads 1

The members' probabilities are drawn with a planted signal: labels in a long tail, and each member knows something of
the records of one category alone. The rival, `MultiOutputClassifier` of `LGBMClassifier`, sees for each of 50 labels
exactly the columns that the stacker sees for it. Both are scored on held-out rows, with thresholds from one half of
them for the other. `--compared-only` draws and fits these 50 of the labels alone.

The last line is JSON; `ratio` is the rival's seconds over the stacker's, fitting and predicting, on the same labels,
and `cpu_ratio` is that of the processor time. On a machine that does other work give `--threads 1`, or the rival's
threads wait for each other most of the time.
"""

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from lightgbm import LGBMClassifier
from sklearn.multioutput import MultiOutputClassifier

from polydx.artifacts import Floats
from polydx.ensemble.fusion import arithmetic_mean
from polydx.ensemble.record_features import RecordFeatures
from polydx.ensemble.stack_columns import Integers, StackColumns, StackInputs
from polydx.ensemble.stacking import StackerRecipe, fit_stacker
from polydx.ensemble.thresholds import DecisionRule
from polydx.judge.metrics import Mask, Scores, macro_f1
from polydx.judge.nested import cross_fitted_decisions

COMPARED_LABELS = 50
HELD_OUT_ROWS = 5_000
KILOBYTES = 1024
"""In a megabyte; `ru_maxrss` counts kilobytes."""
T = TypeVar("T")


def label_rates(labels: int) -> Scores:
    """How many of the records have each label: a long tail."""
    rates: Scores = 0.2 / np.arange(1, labels + 1) ** 0.75
    return rates


def planted(rows: int, rates: Scores, members: int, seed: int) -> tuple[StackInputs, Mask]:
    """Draw what the members say of `rows` records: each is right about the records of its own category."""
    draw = np.random.default_rng(seed)
    targets = draw.random((rows, len(rates))) < rates
    category = draw.integers(0, members, rows)
    said = np.empty((members, *targets.shape), dtype=np.float32)
    for member in range(members):
        knows = np.where(category == member, 4.0, 1.0)[:, None]
        odds = np.log(rates / (1 - rates)) + knows * targets + draw.normal(0.0, 1.0, targets.shape)
        said[member] = 1 / (1 + np.exp(-odds))
    records = RecordFeatures(("category",), category[:, None].astype(np.float32), (0,))
    return StackInputs(said, np.zeros((0, *targets.shape), dtype=np.float32), records), targets


def score(probabilities: Floats, targets: Mask) -> float:
    """Macro-F1 with thresholds from one half of the rows for the other."""
    rule, half = DecisionRule(20.0, 0, targets.shape[1], "shrunk"), np.arange(len(targets)) % 2
    return macro_f1(cross_fitted_decisions(probabilities, targets, half, rule), targets)


def rival(inputs: StackInputs, targets: Mask, unseen: StackInputs, threads: int) -> Floats:
    """One LightGBM classifier a label, as scikit-learn's users have it; each label's columns are the stacker's."""
    fitting = StackColumns(inputs)
    scored = StackColumns(unseen, fitting.related)
    said = np.empty(unseen.members.shape[1:], dtype=np.float32)
    for label in range(targets.shape[1]):
        classifier = MultiOutputClassifier(LGBMClassifier(n_jobs=threads, verbosity=-1))
        classifier.fit(fitting.design(label), targets[:, [label]])
        said[:, label] = classifier.predict_proba(scored.design(label))[0][:, 1]
    return said


@dataclass(frozen=True)
class Case:
    """Rows to fit on and rows to score.

    Attributes:
        seen: Of the rows to fit on.
        known: `[rows, labels]`, bool.
        unseen: Of the rows to score.
        wanted: `[held-out rows, labels]`, bool.
    """

    seen: StackInputs
    known: Mask
    unseen: StackInputs
    wanted: Mask

    def of(self, labels: Integers) -> "Case":
        """The same of some labels alone."""
        seen, unseen = (
            StackInputs(np.ascontiguousarray(part.members[..., labels]), part.rates[..., labels], part.records)
            for part in (self.seen, self.unseen)
        )
        return Case(seen, self.known[:, labels], unseen, self.wanted[:, labels])


def draw_case(rows: int, rates: Scores, members: int, seed: int) -> Case:
    """Draw `rows` to fit on and `HELD_OUT_ROWS` to score."""
    inputs, targets = planted(rows + HELD_OUT_ROWS, rates, members, seed)
    fitting = np.arange(len(targets)) < rows
    return Case(inputs.take(fitting), targets[fitting], inputs.take(~fitting), targets[~fitting])


def timed(work: Callable[[], T]) -> tuple[T, float, float]:
    """What the work returns, its seconds, and the processor's."""
    seconds, cpu = time.perf_counter(), time.process_time()
    done = work()
    return done, time.perf_counter() - seconds, time.process_time() - cpu


def measure_whole(case: Case, recipe: StackerRecipe) -> dict[str, float]:
    """The stacker on all labels."""
    stacker, fit_seconds, _ = timed(lambda: fit_stacker(case.seen, case.known, recipe))
    fused, predict_seconds, _ = timed(lambda: stacker.predict(case.unseen))
    return {
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KILOBYTES,
        "fit_seconds": fit_seconds,
        "predict_seconds": predict_seconds,
        "macro_f1": score(fused, case.wanted),
        "macro_f1_mean_of_members": score(arithmetic_mean(case.unseen.members), case.wanted),
    }


def compare(case: Case, recipe: StackerRecipe) -> dict[str, float]:
    """The stacker and its rival on the same labels."""
    ours, seconds, cpu = timed(lambda: fit_stacker(case.seen, case.known, recipe).predict(case.unseen))
    theirs, rival_seconds, rival_cpu = timed(lambda: rival(case.seen, case.known, case.unseen, recipe.threads))
    return {
        "of_50_seconds": seconds,
        "of_50_rival_seconds": rival_seconds,
        "macro_f1_of_50": score(ours, case.wanted),
        "macro_f1_of_50_rival": score(theirs, case.wanted),
        "cpu_ratio": rival_cpu / cpu,
        "ratio": rival_seconds / seconds,
    }


def main() -> None:
    """Fit, time, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--labels", type=int, default=1_000)
    parser.add_argument("--members", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--compared-only", action="store_true", help="leave the fit of all labels out")
    args = parser.parse_args()
    recipe = StackerRecipe(
        trees=60,
        learning_rate=0.03,
        leaves=7,
        min_leaf_rows=40,
        frequent_positives=50,
        threads=args.threads,
        seed=args.seed,
    )
    rates, few = label_rates(args.labels), np.linspace(0, args.labels - 1, COMPARED_LABELS).astype(int)
    found: dict[str, float] = {}
    if args.compared_only:
        compared = draw_case(args.rows, rates[few], args.members, args.seed)
    else:
        whole = draw_case(args.rows, rates, args.members, args.seed)
        found |= measure_whole(whole, recipe)
        compared = whole.of(few)
    found |= compare(compared, recipe)
    report = {"rows": args.rows, "labels": args.labels, "members": args.members, "threads": args.threads}
    print(json.dumps(report | {name: round(value, 4 if "f1" in name else 2) for name, value in found.items()}))


if __name__ == "__main__":
    main()
