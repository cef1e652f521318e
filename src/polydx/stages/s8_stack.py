"""Stage 8: fuse the members, tune thresholds, choose, and score everything by nested cross-validation."""

import os
import shutil
import sys

import numpy as np

from polydx.artifacts import Array, write_array, write_json
from polydx.config import Stack
from polydx.contest.records import DUPLICATE_GROUP, TRAIN, read_records
from polydx.ensemble.candidates import Candidate, Inputs, single
from polydx.ensemble.fusions import fusion_candidates
from polydx.ensemble.ledger import FINAL, STUDENT, make_ledger
from polydx.ensemble.selection import Choice, Judgement, Opinion, choose, judge_candidate, opinion_of
from polydx.ensemble.stack_candidates import RecordContext
from polydx.ensemble.stacking import StackerRecipe
from polydx.ensemble.thresholds import DecisionRule
from polydx.judge.folds import read_folds, refuse_parted_duplicates
from polydx.judge.metrics import Mask, macro_f1
from polydx.judge.nested import NestedFolds, outer_folds
from polydx.paths import RunPaths
from polydx.progress import Reporter
from polydx.stages.stack_inputs import input_files, read_context, read_inputs


def run(
    paths: RunPaths, stack: Stack, members: tuple[str, ...], rounds: int, student: bool, cores: int, seed: int
) -> None:
    """Write the ledger, every entry's decisions, and the final choice's probabilities and thresholds.

    Arrays of training rows have all of them, in record order; where the folds are a hold-out, a row that is never
    validated is NaN in `fused_oof.npy` and has no label in `oof.npy`.

    Args:
        paths: The run's files.
        stack: Candidates, stacker, thresholds and intervals.
        members: Members' names.
        rounds: Pseudo-label rounds after round 0.
        student: Whether there is a student.
        cores: Cores to use; 0 for all.
        seed: The run's seed.

    Raises:
        UserError: Record numbers are asked for and there are none, there are too few records for folds, or the folds
            part near copies of a record.
    """
    records, folds = read_records(paths.records, paths.labels), read_folds(paths.folds)
    groups = records.part(TRAIN)[DUPLICATE_GROUP].to_numpy(dtype=np.int64)
    refuse_parted_duplicates(folds, groups, str(paths.folds))
    scored = folds.scored()
    files = input_files(paths, members, rounds, student, folds.jobs)
    inputs = read_inputs(files, folds, outer_folds(folds, records.targets(), groups, seed), records.targets() > 0)
    # The student comes last.
    fused = inputs.first(len(files) - 1) if student and not stack.fuse_student else inputs
    context = read_context(records, {name: files[name] for name in fused.names}, folds, fused, stack)

    singles = {name: single(inputs, index) for index, name in enumerate(inputs.names)}
    if student and folds.jobs > folds.count:
        # One student ships: the mean of several, over repeats, is better and has other thresholds.
        own = {STUDENT: files[STUDENT]}
        alone = read_inputs(own, folds.first_repeat(), inputs.fold_of_row, records.targets() > 0)
        singles[STUDENT] = single(alone, 0)
    cores = cores or os.cpu_count() or 1
    fusions = _fusions(fused, context, stack, cores, seed)
    candidates = singles | fusions
    rule = DecisionRule(stack.threshold_prior, stack.min_labels, stack.max_labels, stack.thresholds, cores)
    nested = NestedFolds(inputs.targets, inputs.fold_of_row, rule)
    judgements: dict[str, Judgement] = {}
    with Reporter("s8 stack", len(candidates) + 1, "candidates") as reporter:
        for name, candidate in candidates.items():
            judgements[name] = judge_candidate(candidate, nested, rule, stack.fold_combination)
            reporter.step(note=name)
        choice = choose(candidates, judgements, nested)
        opinion = opinion_of(candidates[choice.name], nested, stack.fold_combination)
        reporter.step(note="choice")
    ledger = make_ledger(
        judgements, choice, inputs.targets, records.label_names, samples=stack.bootstrap_samples, seed=seed
    )
    importance = {name: shares for name, fusion in fusions.items() if (shares := fusion.importance())}
    weights = {name: shares for name, fusion in fusions.items() if (shares := fusion.weights())}

    # The engine knows the ledger alone, so it comes last, and nothing of an earlier run may stand beside it.
    shutil.rmtree(paths.stack, ignore_errors=True)
    _write_decisions(paths, judgements, choice, scored)
    _write_opinion(paths, opinion, scored)
    rules = {"thresholds.json": choice.name} | ({"student_thresholds.json": STUDENT} if student else {})
    for file, name in rules.items():
        cuts = dict(zip(records.label_names, judgements[name].thresholds.tolist(), strict=True))
        limits = {"min_labels": rule.min_labels, "max_labels": rule.max_labels}
        write_json(paths.stack / file, {"entry": name, "thresholds": cuts} | limits)
    write_json(paths.ledger, ledger | {"importance": importance, "weights": weights})
    score = macro_f1(choice.decided, inputs.targets)
    print(f"s8 stack: {choice.name} of {len(candidates)} candidates, out-of-fold macro-F1 {score:.4f}", file=sys.stderr)


def _fusions(inputs: Inputs, context: RecordContext, stack: Stack, cores: int, seed: int) -> dict[str, Candidate]:
    recipe = StackerRecipe(
        trees=stack.trees,
        learning_rate=stack.tree_learning_rate,
        leaves=stack.leaves,
        min_leaf_rows=stack.min_leaf_rows,
        frequent_positives=stack.frequent_positives,
        threads=cores,
        seed=seed,
        early_stopping=stack.early_stopping,
    )
    return fusion_candidates(
        stack.candidates, inputs, context, recipe, prior=stack.threshold_prior, calibration=stack.calibration
    )


def _write_decisions(paths: RunPaths, judgements: dict[str, Judgement], choice: Choice, scored: Mask) -> None:
    chosen = judgements[choice.name]
    decided = {name: (judgement.decided, judgement.test_decided) for name, judgement in judgements.items()}
    for name, (oof, test) in (decided | {FINAL: (choice.decided, chosen.test_decided)}).items():
        write_array(paths.decisions(name) / "oof.npy", _all_rows(oof, scored, False))
        write_array(paths.decisions(name) / "test.npy", test)


def _write_opinion(paths: RunPaths, opinion: Opinion, scored: Mask) -> None:
    write_array(paths.stack / "fused_oof.npy", _all_rows(opinion.oof, scored, np.nan))
    write_array(paths.stack / "fused_test.npy", opinion.test)


def _all_rows(array: Array, scored: Mask, missing: float | bool) -> Array:
    """Spread the scored rows over all training rows."""
    whole = np.full((len(scored), array.shape[1]), missing, dtype=array.dtype)
    whole[scored] = array
    return whole
