"""What is the best use of thresholds fitted on single fold models, on all of them or on a student on all rows?

    python benchmarks/threshold_transfer.py runs/ohsumed

Reads a finished run whose contest has a truth file, and scores the test records by each member's thresholds on the mean
of its fold models, on their vote, on the mean mapped to the distribution of single models, and on the mean with the
thresholds moved to part off the same share of rows. The student on all rows is scored as it is, mapped, and with moved
thresholds; what it is mapped to are the fold students' probabilities of the test records. No test label is used but
for the scores. The last line printed is JSON.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats, read_array
from polydx.cli.needed import need_records, need_stacked
from polydx.contest.records import read_records
from polydx.ensemble.fold_predictions import combine_folds
from polydx.ensemble.quantiles import match_distribution, match_thresholds
from polydx.ensemble.thresholds import DecisionRule
from polydx.errors import UserError
from polydx.judge.folds import read_folds
from polydx.judge.metrics import Mask, macro_f1
from polydx.paths import ALL_ROWS, FoldFiles, RunPaths
from polydx.resolve import load_settings
from polydx.score import true_targets
from polydx.stages.stack_inputs import input_files
from user_faults import with_exit_status

Thresholds = npt.NDArray[np.float64]
Scores = dict[str, float]


def of_fold_models(predictions: Floats, thresholds: Thresholds, rule: DecisionRule, truth: Mask) -> Scores:
    """Test macro-F1 of each way to use thresholds of single models on all of them, `[jobs, rows, labels]`."""
    scores = {
        how: macro_f1(rule.decide(combine_folds(predictions, how), thresholds), truth)
        for how in ("mean", "vote", "matched")
    }
    mean, single = predictions.mean(axis=0), predictions.reshape(-1, predictions.shape[-1])
    moved = match_thresholds(thresholds, single, mean)
    one = [macro_f1(rule.decide(prediction, thresholds), truth) for prediction in predictions]
    return scores | {"moved": macro_f1(rule.decide(mean, moved), truth), "one_fold_model": float(np.mean(one))}


def of_student(student: Floats, predictions: Floats, thresholds: Thresholds, rule: DecisionRule, truth: Mask) -> Scores:
    """Test macro-F1 of the student on all rows, `[rows, labels]`, by the fold students' thresholds."""
    single = predictions.reshape(-1, predictions.shape[-1])
    moved = match_thresholds(thresholds, single, student)
    return {
        "as_it_is": macro_f1(rule.decide(student, thresholds), truth),
        "matched": macro_f1(rule.decide(match_distribution(student, single), thresholds), truth),
        "moved": macro_f1(rule.decide(student, moved), truth),
    }


def measure(
    paths: RunPaths, sources: Mapping[str, list[FoldFiles]], rule: DecisionRule, truth: Mask
) -> dict[str, Scores]:
    """Scores of every source of fold models, and of the student on all rows where there is one."""
    folds, targets = read_folds(paths.folds), read_records(paths.records, paths.labels).targets() > 0
    scored = folds.scored()
    results: dict[str, Scores] = {}
    for name, files in sources.items():
        oof = folds.out_of_fold([read_array(job.validation) for job in files])[scored]
        thresholds = rule.fit(oof, targets[scored])
        predictions = folds.of_other_rows([read_array(job.test) for job in files])
        results[name] = of_fold_models(predictions, thresholds, rule, truth)
        if name == "student":
            student = np.asarray(read_array(paths.student(ALL_ROWS).test))
            results["student on all rows"] = of_student(student, predictions, thresholds, rule, truth)
    return results


@with_exit_status
def main() -> None:
    """Measure a run and print; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the run's folder, such as runs/default")
    run = parser.parse_args().run
    paths = RunPaths(run.name, run.parent)
    settings = load_settings(paths.settings)
    truth = settings.contest.truth
    if truth is None:
        raise UserError(str(paths.settings), "has no contest.truth", "name a run whose test labels are known")
    need_records(paths, folds=True)
    need_stacked(paths, settings)
    answers = true_targets(paths, settings.contest, settings.contest.folder / truth)
    members, jobs = tuple(settings.members), read_folds(paths.folds).jobs
    sources = input_files(paths, members, settings.pseudo.rounds, settings.distil.enabled, jobs)
    stack = settings.stack
    rule = DecisionRule(stack.threshold_prior, stack.min_labels, stack.max_labels, stack.thresholds)
    results = measure(paths, sources, rule, answers)
    for name, scores in results.items():
        print(f"{name:32s}", "  ".join(f"{how} {score:.4f}" for how, score in scores.items()))
    print(
        json.dumps({name: {how: round(score, 4) for how, score in scores.items()} for name, scores in results.items()})
    )


if __name__ == "__main__":
    sys.exit(main())
