"""The stacker on many labels: its time and memory, and one classifier a label in scikit-learn beside it.

    python benchmarks/stacking_scale.py --rows 20000 --labels 1000 --members 6

The members' probabilities are drawn with a planted signal: labels in a long tail, and each member knows something of
the records of one category alone. The rival, `MultiOutputClassifier` of `LGBMClassifier`, sees for each of 50 labels
exactly the columns that the stacker sees for it. Both are scored on held-out rows, with thresholds from one half of
them for the other. The last line is JSON; `ratio` is the rival's seconds over the stacker's, on the same labels.
"""

import argparse
import json
import os
import resource
import time

import numpy as np
from lightgbm import LGBMClassifier
from sklearn.multioutput import MultiOutputClassifier

from polydx.artifacts import Floats
from polydx.ensemble.fusion import mean
from polydx.ensemble.record_features import RecordFeatures
from polydx.ensemble.stacking import Integers, StackColumns, StackerRecipe, StackInputs, fit_stacker
from polydx.ensemble.thresholds import DecisionRule
from polydx.judge.metrics import Mask, macro_f1
from polydx.judge.nested import cross_fitted_decisions

COMPARED_LABELS = 50
HELD_OUT_ROWS = 5_000
MEGABYTE = 1024
"""Kilobytes in it: the unit of `ru_maxrss`."""


def planted(rows: int, labels: int, members: int, seed: int) -> tuple[StackInputs, Mask]:
    """Draw what the members say of `rows` records: each is right about the records of its own category."""
    draw = np.random.default_rng(seed)
    rates = 0.2 / np.arange(1, labels + 1) ** 0.75
    targets = draw.random((rows, labels)) < rates
    category = draw.integers(0, members, rows)
    said = np.empty((members, rows, labels), dtype=np.float32)
    for member in range(members):
        knows = np.where(category == member, 4.0, 1.0)[:, None]
        odds = np.log(rates / (1 - rates)) + knows * targets + draw.normal(0.0, 1.0, targets.shape)
        said[member] = 1 / (1 + np.exp(-odds))
    records = RecordFeatures(("category",), category[:, None].astype(np.float32), (0,))
    return StackInputs(said, np.zeros((0, rows, labels), dtype=np.float32), records), targets


def score(probabilities: Floats, targets: Mask) -> float:
    """Macro-F1 with thresholds from one half of the rows for the other."""
    rule, half = DecisionRule(20.0, 0, targets.shape[1]), np.arange(len(targets)) % 2
    return macro_f1(cross_fitted_decisions(probabilities, targets, half, rule), targets)


def rival(inputs: StackInputs, targets: Mask, held_out: StackInputs, related: Integers, threads: int) -> Floats:
    """One LightGBM classifier a label, as scikit-learn's users have it; each label's columns are the stacker's."""
    fitting, scored = StackColumns(inputs, related), StackColumns(held_out, related)
    said = np.empty((held_out.members.shape[1], targets.shape[1]), dtype=np.float32)
    for label in range(targets.shape[1]):
        classifier = MultiOutputClassifier(LGBMClassifier(n_jobs=threads, verbosity=-1))
        classifier.fit(fitting.design(label), targets[:, [label]])
        said[:, label] = classifier.predict_proba(scored.design(label))[0][:, 1]
    return said


def main() -> None:
    """Fit, time, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--labels", type=int, default=1_000)
    parser.add_argument("--members", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    threads = os.cpu_count() or 1
    recipe = StackerRecipe(
        trees=60,
        learning_rate=0.03,
        leaves=7,
        min_leaf_rows=40,
        frequent_positives=50,
        threads=threads,
        seed=args.seed,
    )

    everything, truth = planted(args.rows + HELD_OUT_ROWS, args.labels, args.members, args.seed)
    fitting = np.arange(len(truth)) < args.rows
    seen, unseen = everything.take(fitting), everything.take(~fitting)
    known, wanted = truth[fitting], truth[~fitting]
    seconds = {"start": time.perf_counter()}
    stacker = fit_stacker(seen, known, recipe)
    seconds["fit"] = time.perf_counter() - seconds.pop("start")
    started = time.perf_counter()
    fused = stacker.predict(unseen)
    seconds["predict"] = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE
    found = {"macro_f1": score(fused, wanted), "macro_f1_mean_of_members": score(mean(unseen.members), wanted)}

    few = np.linspace(0, args.labels - 1, COMPARED_LABELS).astype(int)
    seen, unseen = (StackInputs(part.members[..., few], part.rates[..., few], part.records) for part in (seen, unseen))
    known, wanted = known[:, few], wanted[:, few]
    started = time.perf_counter()
    stacker = fit_stacker(seen, known, recipe)
    found["macro_f1_of_50"] = score(stacker.predict(unseen), wanted)
    seconds["of_50"] = time.perf_counter() - started
    started = time.perf_counter()
    found["macro_f1_of_50_rival"] = score(rival(seen, known, unseen, stacker.related, threads), wanted)
    seconds["of_50_rival"] = time.perf_counter() - started

    report = {"rows": args.rows, "labels": args.labels, "members": args.members, "peak_megabytes": round(peak)}
    report |= {f"{name}_seconds": round(value, 1) for name, value in seconds.items()}
    report |= {name: round(value, 4) for name, value in found.items()}
    print(json.dumps(report | {"ratio": round(seconds["of_50_rival"] / seconds["of_50"], 2)}))


if __name__ == "__main__":
    main()
