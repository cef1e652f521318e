"""What stage 8 reads: the fold models' answers, and what the stacker may know of the records beside them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from polydx.artifacts import Floats, are_probabilities, read_array
from polydx.config import Stack
from polydx.contest.records import RECORD_NUMBER, TEST, TRAIN, Records
from polydx.ensemble.candidates import Inputs
from polydx.ensemble.ledger import STUDENT
from polydx.ensemble.neighbourhood import Neighbourhood
from polydx.ensemble.record_features import no_features, record_features
from polydx.ensemble.stack_candidates import RecordContext
from polydx.errors import UserError
from polydx.judge.folds import Folds, Integers
from polydx.judge.metrics import Mask
from polydx.paths import FoldFiles, RunPaths, member_entry

InputFiles = dict[str, list[FoldFiles]]
"""Each input's fold models, in the order of the jobs, by ledger name."""


def input_files(paths: RunPaths, members: tuple[str, ...], rounds: int, student: bool, jobs: int) -> InputFiles:
    """Where the fold models of every member's rounds are, and those of the student, if there is one."""
    files = {
        member_entry(member, number): [paths.fold_model(member, number, job) for job in range(jobs)]
        for member in members
        for number in range(rounds + 1)
    }
    return files | ({STUDENT: [paths.student(job) for job in range(jobs)]} if student else {})


def read_inputs(files: InputFiles, folds: Folds, outer_fold_of_row: Integers, targets: Mask) -> Inputs:
    """Read what the fold models say.

    Args:
        files: Of each input.
        folds: Of its jobs.
        outer_fold_of_row: `[scored rows]`.
        targets: `[training rows, labels]`, bool.

    Raises:
        UserError: A file holds something that is no probability.
    """
    oof, test = _answers(files, folds)
    return Inputs(tuple(files), oof, test, targets[folds.scored()], outer_fold_of_row)


def read_context(records: Records, files: InputFiles, folds: Folds, inputs: Inputs, stack: Stack) -> RecordContext:
    """Find the features of the scored rows and of the test rows, and their neighbours by number.

    Args:
        records: Of the run.
        files: Of the inputs that are fused.
        folds: Of their jobs.
        inputs: What they say.
        stack: Whether features and neighbours are asked for.

    Raises:
        UserError: Record numbers are asked for and there are none.
    """
    scored = folds.scored()
    train, test = records.part(TRAIN)[scored], records.part(TEST)
    both = pd.concat([train, test])
    features = record_features(both) if stack.record_features else no_features(len(both))
    is_train = np.arange(len(both)) < len(train)
    numbers = both[RECORD_NUMBER].to_numpy(dtype=np.float64)
    if stack.record_number and np.isnan(numbers[is_train]).all():
        problem = "no training record has one: no id ends in digits, or contest.columns.order is empty"
        raise UserError("stack.record_number", problem, "name a column in contest.columns.order, or set it to false")
    widths = stack.neighbour_widths if stack.record_number else ()
    said = (inputs.oof, inputs.test)
    if widths and folds.jobs > folds.count:
        said = _answers(files, folds.first_repeat())
    member_folds = folds.fold_of_row(repeat=0)[scored]
    neighbourhood = Neighbourhood(numbers[is_train], numbers[~is_train], widths, member_folds, *said)
    return RecordContext(features.take(is_train), features.take(~is_train), neighbourhood)


def _answers(files: InputFiles, folds: Folds) -> tuple[Floats, Floats]:
    """What the models of these folds say of the scored rows and of the test rows, as `Inputs` holds it."""
    scored, jobs = folds.scored(), [models[: folds.jobs] for models in files.values()]
    oof = (folds.out_of_fold([_probabilities(job.validation) for job in own])[scored] for own in jobs)
    test = (folds.of_other_rows([_probabilities(job.test) for job in own]) for own in jobs)
    return _stacked(oof, len(jobs)), _stacked(test, len(jobs))


def _probabilities(file: Path) -> Floats:
    answers: Floats = read_array(file)
    if not are_probabilities(answers):
        raise UserError(str(file), "holds something that is no probability", "remove it and train that model again")
    return answers


def _stacked(parts: Iterator[Floats], count: int) -> Floats:
    """As `np.stack` of so many parts, but one after the other: together they may fill half of the memory."""
    first = next(parts)
    whole = np.empty((count, *first.shape), dtype=np.float32)
    whole[0] = first
    for place, part in enumerate(parts, start=1):
        whole[place] = part
    return whole
