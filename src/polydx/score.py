"""Scores against known answers: of any submission, and of a finished run.

This is the only module that reads a truth file, and no stage imports it.
"""

import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from polydx.artifacts import read_array, read_json, write_json
from polydx.config import Contest, Stack
from polydx.contest.files import shown
from polydx.contest.label_names import LabelNames, check_aliases, read_aliases
from polydx.contest.label_sets import read_label_sets
from polydx.contest.readers import ColumnRoles
from polydx.contest.records import ID, PART, TEST, read_records
from polydx.contest.tables import TableLayout
from polydx.contest.truth import read_truth
from polydx.errors import UserError
from polydx.judge.entries import GAP, label_rows, scores_on_test
from polydx.judge.intervals import resampled_macro_f1
from polydx.judge.metrics import Mask, summary
from polydx.paths import RunPaths
from polydx.report.card import card_entries, score_lines
from polydx.report.terminal import print_scores

LabelSets = Mapping[str, tuple[str, ...]]


def score_submission(
    submission: Path, truth: Path, label_names: Sequence[str] | None, per_label: bool, delimiter: str = "|"
) -> dict[str, object]:
    """Score a submission file against a truth file, each of a form that `read_label_sets` reads.

    Args:
        submission: What was predicted.
        truth: What is true; labels of it outside `label_names` are left out, since no submission could name them.
        label_names: The official labels; None takes every label that either file names.
        per_label: Whether to add a row for each label.
        delimiter: What joins the labels in a CSV.

    Returns:
        `macro_f1` over all labels, `macro_f1_present` over those that the truth holds, the other scores of `summary`,
        the numbers of `records` and `labels`, and with `per_label` the rows `per_label`.

    Raises:
        UserError: A file is malformed, the truth has no official label, the ids differ, or the submission names an
            unofficial label.
    """
    predicted, true = (read_label_sets(path, delimiter) for path in (submission, truth))
    _require_same_ids(true, predicted, str(submission))
    names = label_names or sorted({label for sets in (true, predicted) for labels in sets.values() for label in labels})
    official = frozenset(names)
    if official.isdisjoint(label for labels in true.values() for label in labels):
        raise UserError(str(truth), "no record in it has an official label", "name the file of true labels")
    for id_, labels in predicted.items():
        for label in labels:
            if label not in official:
                problem = f"the label {shown(label)} is not an official one"
                raise UserError(f"{submission}, id {shown(id_)}", problem, "correct the submission or --labels")
    decided, targets = (_matrix(sets, list(true), names) for sets in (predicted, true))
    scores: dict[str, object] = {**summary(decided, targets), "records": len(true), "labels": len(names)}
    return scores | ({"per_label": label_rows(decided, targets, names)} if per_label else {})


def score_run(paths: RunPaths, contest: Contest, stack: Stack, seed: int) -> None:
    """Finish a run's score card, adding every entry's test scores if the contest has a truth file, and print it.

    Raises:
        UserError: The truth file is malformed, or its ids are not those of the test records.
    """
    card = read_json(paths.card)
    if contest.truth is not None:
        targets = true_targets(paths, contest, contest.folder / contest.truth)
        for name, _, entry in card_entries(card):
            decided = np.asarray(read_array(paths.decisions(name) / "test.npy"))
            resampled = resampled_macro_f1(decided, targets, samples=stack.bootstrap_samples, seed=seed)
            entry |= scores_on_test(entry, decided, targets, resampled)
    write_json(paths.scores, card)
    print_scores(card["run"], score_lines(card), card["best_single"], card["encoders"])
    final = card["final"]
    test = "no truth file"
    if contest.truth is not None:
        side = "above" if final[GAP] >= 0 else "below"
        test = f"test macro-F1 {final['test_macro_f1']:.4f}, out of fold {abs(final[GAP]):.4f} {side} it"
    print(f"score: out-of-fold macro-F1 {final['oof_macro_f1']:.4f}, {test}", file=sys.stderr)


def true_targets(paths: RunPaths, contest: Contest, truth: Path) -> Mask:
    """The test records' answers, `[test rows, labels]`, bool, in record order.

    Aliases are replaced and unofficial labels left out, as the clean stage does.

    Raises:
        UserError: The file is malformed, or its ids are not those of the test records.
    """
    layout = TableLayout(contest.format, contest.separator, contest.encoding)
    sets = read_truth(truth, layout, ColumnRoles(**contest.columns.model_dump()))
    records = read_records(paths.records, paths.labels, [ID, PART])
    aliases = {}
    if contest.aliases is not None:
        path = contest.folder / contest.aliases
        aliases = check_aliases(read_aliases(path), records.label_names, path)
    names = LabelNames(records.label_names, aliases)
    ids = records.part(TEST)[ID].tolist()
    _require_same_ids(ids, sets, str(truth))
    return _matrix({id_: names.resolve(labels).labels for id_, labels in sets.items()}, ids, records.label_names)


def _require_same_ids(expected: Collection[str], found: Collection[str], place: str) -> None:
    wanted, had = frozenset(expected), frozenset(found)
    missing = [id_ for id_ in expected if id_ not in had]
    unknown = [id_ for id_ in found if id_ not in wanted]
    if missing:
        raise UserError(place, f"lacks {len(missing)} ids, such as {shown(missing[0])}", "give every record an answer")
    if unknown:
        raise UserError(place, f"has {len(unknown)} unknown ids, such as {shown(unknown[0])}", "leave them out")


def _matrix(sets: LabelSets, ids: Sequence[str], label_names: Sequence[str]) -> Mask:
    column = {name: index for index, name in enumerate(label_names)}
    matrix = np.zeros((len(ids), len(label_names)), dtype=bool)
    for row, id_ in enumerate(ids):
        matrix[row, [column[label] for label in sets[id_] if label in column]] = True
    return matrix
