"""How much of the contest's score hides in the record number: neighbours and LightGBM, with no text read.

    python benchmarks/record_number.py DATA_FOLDER --seeds 5 --folds 5

DATA_FOLDER holds `label_sets.csv` (`emr_id`, `diagnosis` joined by |) and `labels.txt`, the official labels. Three
predictors are scored out of fold: the label rates of the run that a record lies in; LightGBM over rates of windows,
kernels and the run; and the mean of their log-odds. No predictor sees a label of the fold that it is scored on;
LightGBM's own training rows see neither that fold nor their own, so their neighbours are as sparse as at scoring.
Thresholds are half of the best F1 (Lipton 2014) on four other folds of five, whose predictions have seen labels of the
fold that is decided, as in every cross-fit.

`macro_f1` is the mean over fold seeds of the best predictor. Its settings were chosen by out-of-fold score, on the same
records: ten strengths and kinds of pull on a run's rates, fifteen kinds of threshold, five designs of LightGBM; most
lie within 0.001 of each other. `macro_f1_nested_choice` chooses among the three predictors inside each fold.
`ceiling` is no score: it is what one would get who knew all labels when finding the runs, their rates and thresholds.
`permuted` is the best predictor's score, for one fold seed, once label sets are dealt to the numbers by chance: what
thresholds and label counts reach alone. The last line is JSON.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

from polydx.artifacts import Floats
from polydx.contest.files import opening
from polydx.ensemble.cuts import best_cuts
from polydx.ensemble.neighbours import Numbers, fold_safe_rates, run_rates, unlabelled_rates
from polydx.ensemble.odds import logit, probability
from polydx.ensemble.record_features import no_features
from polydx.ensemble.runs import find_runs
from polydx.ensemble.stack_columns import StackInputs
from polydx.ensemble.stacking import StackerRecipe, fit_stacker
from polydx.errors import UserError
from polydx.judge.metrics import Mask, Scores, macro_f1, micro_f1
from polydx.judge.nested import cross_fitted_decisions
from polydx.progress import Reporter
from user_faults import with_exit_status

Integers = npt.NDArray[np.int64]
PREDICTORS = ("runs", "lightgbm", "both")
NESTED = "nested choice"
WIDTHS = (1, 3, 10, 30, 100)
THRESHOLD_FOLDS = 5
THRESHOLD_SEED = 1000
"""Added to a fold seed, so that thresholds are fitted across other folds than the predictors."""
PERMUTATION_SEED = 0


def read_contest(folder: Path) -> tuple[Numbers, Mask]:
    """Record numbers, increasing, and official labels `[records, labels]`.

    Raises:
        UserError: One of the two files can't be read, or the table lacks a column.
    """
    names, sets = folder / "labels.txt", folder / "label_sets.csv"
    with opening(names, "DATA_FOLDER"):
        official = names.read_text(encoding="utf-8").split()
    with opening(sets, "DATA_FOLDER"), sets.open(encoding="utf-8") as file:
        table = csv.DictReader(file)
        if missing := sorted({"emr_id", "diagnosis"} - {*(table.fieldnames or [])}):
            raise UserError(str(sets), f"has no column {missing[0]!r}", "give its columns emr_id and diagnosis")
        rows = [(int(row["emr_id"][2:]), set(row["diagnosis"].split("|"))) for row in table]
    rows.sort(key=lambda row: row[0])
    targets = np.array([[name in labels for name in official] for _, labels in rows])
    return np.array([number for number, _ in rows], dtype=np.float64), targets


def deal(targets: Mask, folds: int, seed: int) -> Integers:
    """Fold of each record, from 0, stratified by labels."""
    fold_of_row = np.empty(len(targets), dtype=np.int64)
    splitter = MultilabelStratifiedKFold(folds, shuffle=True, random_state=seed)
    for fold, (_, rows) in enumerate(splitter.split(targets, targets)):
        fold_of_row[rows] = fold
    return fold_of_row


def by_lightgbm(
    asking: Numbers, numbers: Numbers, targets: Mask, fold_of_row: Integers, recipe: StackerRecipe
) -> Floats:
    """LightGBM fitted on labelled records, each seen without its own fold; the mean over readings without each fold."""

    def inputs(views: Floats) -> StackInputs:
        return StackInputs(views[-1:], views[:-1], no_features(views.shape[1]))

    stacker = fit_stacker(inputs(fold_safe_rates(numbers, targets, fold_of_row, frozenset(), WIDTHS)), targets, recipe)
    readings = unlabelled_rates(asking, numbers, targets, fold_of_row, WIDTHS)
    mean: Floats = np.mean([stacker.predict(inputs(views)) for views in readings], axis=0)
    return mean


def out_of_fold(
    numbers: Numbers, targets: Mask, fold_of_row: Integers, recipe: StackerRecipe, reporter: Reporter
) -> dict[str, Floats]:
    """Each predictor's probabilities of every record, from fits that saw no label of its fold."""
    runs, trees = np.empty(targets.shape, dtype=np.float32), np.empty(targets.shape, dtype=np.float32)
    for fold in range(int(fold_of_row.max()) + 1):
        scored = fold_of_row == fold
        seen, known = numbers[~scored], targets[~scored]
        runs[scored] = run_rates(numbers[scored], seen, known)
        others = np.unique(fold_of_row[~scored], return_inverse=True)[1]
        trees[scored] = by_lightgbm(numbers[scored], seen, known, others, recipe)
        reporter.step()
    both = probability((logit(runs) + logit(trees)) / 2)
    return dict(zip(PREDICTORS, (runs, trees, both), strict=True))


def half_best_f1(probabilities: Floats, targets: Mask) -> Scores:
    """Each label's threshold: half of the best F1 that any threshold reaches on these rows."""
    return np.where(targets.any(axis=0), best_cuts(probabilities, targets).f1 / 2, 1.0)


def decide(fitting: Floats, known: Mask, scored: Floats) -> Mask:
    """Decisions of the scored rows by thresholds fitted on the others."""
    decided: Mask = scored >= half_best_f1(fitting, known)
    return decided


def chosen(
    probabilities: dict[str, Floats], decided: dict[str, Mask], targets: Mask, fold_of_row: Integers
) -> tuple[Mask, list[str]]:
    """Each fold's decisions by the predictor that is best, cross-fitted, on the other folds."""
    final, names = np.zeros_like(targets), []
    for fold in np.unique(fold_of_row):
        rest = fold_of_row != fold
        known, folds = targets[rest], fold_of_row[rest]
        scores = {
            name: macro_f1(cross_fitted_decisions(values[rest], known, folds, decide), known)
            for name, values in probabilities.items()
        }
        names.append(max(scores, key=scores.__getitem__))
        final[~rest] = decided[names[-1]][~rest]
    return final, names


def ceiling(numbers: Numbers, targets: Mask) -> float:
    """Macro-F1 of runs and thresholds that know all labels: what no honest predictor by runs can beat by much."""
    rates = find_runs(numbers, targets).rates_at(numbers)
    return macro_f1(rates >= best_cuts(rates, targets).thresholds, targets)


def one_dealing(
    numbers: Numbers, targets: Mask, folds: int, seed: int, recipe: StackerRecipe, reporter: Reporter
) -> tuple[dict[str, Floats], dict[str, Mask], Integers]:
    """Each predictor's probabilities and decisions for one fold seed, and the folds that the thresholds crossed."""
    probabilities = out_of_fold(numbers, targets, deal(targets, folds, seed), recipe, reporter)
    threshold_folds = deal(targets, THRESHOLD_FOLDS, THRESHOLD_SEED + seed)
    decided = {
        name: cross_fitted_decisions(values, targets, threshold_folds, decide) for name, values in probabilities.items()
    }
    return probabilities, decided, threshold_folds


@with_exit_status
def main() -> None:
    """Score the predictors over several fold seeds; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    numbers, targets = read_contest(options.folder)
    recipe = StackerRecipe(60, 0.03, 7, 40, 50, options.threads, 0)
    scores: dict[str, list[float]] = {}
    micro: dict[str, list[float]] = {}
    choices: list[str] = []
    with Reporter("record number", (options.seeds + 1) * options.folds, "folds") as reporter:
        for seed in range(options.seeds):
            probabilities, decided, threshold_folds = one_dealing(
                numbers, targets, options.folds, seed, recipe, reporter
            )
            final, names = chosen(probabilities, decided, targets, threshold_folds)
            choices += names
            for name, decisions in (decided | {NESTED: final}).items():
                scores.setdefault(name, []).append(macro_f1(decisions, targets))
                micro.setdefault(name, []).append(micro_f1(decisions, targets))
        dealt = targets[np.random.default_rng(PERMUTATION_SEED).permutation(len(targets))]
        _, by_chance, _ = one_dealing(numbers, dealt, options.folds, 0, recipe, reporter)
    for name, values in scores.items():
        print(f"{name:14} {np.mean(values):.4f}  by seed {' '.join(f'{value:.4f}' for value in values)}")
    best = max(PREDICTORS, key=lambda name: float(np.mean(scores[name])))
    print(
        json.dumps(
            {
                "benchmark": "record_number",
                "records": len(numbers),
                "folds": options.folds,
                "predictor": best,
                "macro_f1": round(float(np.mean(scores[best])), 4),
                "macro_f1_by_seed": [round(value, 4) for value in scores[best]],
                "micro_f1": round(float(np.mean(micro[best])), 4),
                "predictors": {name: round(float(np.mean(scores[name])), 4) for name in PREDICTORS},
                "macro_f1_nested_choice": round(float(np.mean(scores[NESTED])), 4),
                "choices": {name: choices.count(name) for name in PREDICTORS},
                "permuted": round(macro_f1(by_chance[best], dealt), 4),
                "ceiling": round(ceiling(numbers, targets), 4),
            }
        )
    )


if __name__ == "__main__":
    sys.exit(main())
