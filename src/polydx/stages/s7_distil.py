"""Stage 7: train the student of one fold, or the one on all rows that is shipped, and predict with it."""

import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from polydx.artifacts import Floats, replacing, write_array, write_json
from polydx.config import Compute, Distil
from polydx.contest.records import LABELS, PART, TEST, TRAIN, UNLABELLED, read_records
from polydx.distil.course import new_task
from polydx.distil.exit_answers import speeds_of
from polydx.distil.student import Student
from polydx.distil.training import learns_fast
from polydx.distil.transfer import transfer_set
from polydx.judge.folds import read_folds
from polydx.model.classifier import load_classifier
from polydx.model.encoders import load_tokenizer, save_folder
from polydx.model.exit_speeds import save_speeds
from polydx.model.exits import Exits, save_exits
from polydx.model.layers import classify
from polydx.model.tokens import IntArray, TokenTable
from polydx.paths import ALL_ROWS, FoldFiles, RunPaths
from polydx.provenance import code_hash
from polydx.stages.readings import student_reading
from polydx.stages.recipes import new_recipe
from polydx.stages.students import Body, chain_of, course_of, new_students
from polydx.stages.teachers import teachers_answers
from polydx.stages.token_files import open_tokens
from polydx.train.checkpoint import clear_checkpoint, fingerprint_of
from polydx.train.classification import predict_probabilities
from polydx.train.device import job_seed, pick_device, prepare
from polydx.train.fit_report import FitReport
from polydx.train.loop import Recipe, fit

SPEED_ROWS = 2000
"""Rows that the speeds of early exits are set on, at most."""


@dataclass(frozen=True)
class StudentRows:
    """Which records a student learns from and answers.

    Attributes:
        label_names: What its logits stand for.
        targets: `[learned, labels]`, float32, 0 or 1.
        learned: `[learned]`, int64, places of the labelled records that it learns from.
        validation: Places of the labelled records that it is scored on; none if it has no fold.
        test: Places of the test records.
        unlabelled: Places of the unlabelled records, all of them.
        drawn: Which of `unlabelled` it learns from, rising.
    """

    label_names: tuple[str, ...]
    targets: Floats
    learned: IntArray
    validation: IntArray
    test: IntArray
    unlabelled: IntArray
    drawn: IntArray

    @property
    def transfer(self) -> IntArray:
        """Places of all that it learns from, those with labels first."""
        return np.concatenate([self.learned, self.test, self.unlabelled[self.drawn]])


@dataclass(frozen=True)
class StudentJob:
    """What the training of one student needs, its teachers' answers apart.

    Attributes:
        paths: The run's files.
        fold: The fold job; None trains on all labelled rows.
        distil: The student's settings.
        teacher_round: The round that its teachers are of.
        rows: Its records.
        tokens: Of all records.
        recipe: The schedule.
        device: Where it runs.
    """

    paths: RunPaths
    fold: int | None
    distil: Distil
    teacher_round: int
    rows: StudentRows
    tokens: TokenTable
    recipe: Recipe
    device: torch.device

    def fine_tuned(self, member: str) -> FoldFiles:
        """A member that may show its layers: of the student's own fold; of any if the student is scored nowhere."""
        return self.paths.fold_model(member, self.teacher_round, self.fold or 0)

    def predict(self, model: Student, places: IntArray, bf16: bool = False) -> Floats:
        """Probabilities `[places, labels]`, float32; in fp32 unless asked, as the student is deployed."""
        labels = len(self.rows.label_names)
        return predict_probabilities(partial(classify, model), self.tokens, places, labels, self.device, bf16)


class Trained(NamedTuple):
    """The last student of a chain, its exits if it has any, and how its training went."""

    student: Student
    exits: Exits | None
    report: FitReport


def run(
    paths: RunPaths,
    fold: int | None,
    distil: Distil,
    teachers: tuple[str, ...],
    teacher_round: int,
    compute: Compute,
    seed: int,
) -> None:
    """Write the student and its probabilities; its validation rows' too, if it has a fold.

    Args:
        paths: The run's files.
        fold: The fold job; None trains on all labelled rows.
        distil: The student's settings.
        teachers: Members that teach.
        teacher_round: The round their models are of.
        compute: Threads, device, checkpoints.
        seed: The run's seed; the job's own is derived from it.

    Raises:
        UserError: The encoder, its layers or the length don't go together.
    """
    name = _job_name(fold)
    own_seed = job_seed(seed, name)
    prepare(compute.threads, own_seed)
    rows = _rows(paths, fold, distil.max_unlabelled, own_seed)
    answers, weights = teachers_answers(paths, fold, distil, teachers, teacher_round)
    tokens = open_tokens(paths, distil.encoder, student_reading(distil))
    device = pick_device(compute.device)
    recipe = new_recipe(distil, compute, device, own_seed)
    job = StudentJob(paths, fold, distil, teacher_round, rows, tokens, recipe, device)
    chain = chain_of(distil)
    checkpoints = [paths.checkpoints(f"{name}-step{step}" if step else name) for step in range(len(chain))]
    said = [each.rows(rows.drawn) for each in answers]
    for step, body in enumerate(chain):
        trained = _train(job, body, said, weights, step + 1 == len(chain), checkpoints[step])
        if step + 1 < len(chain):
            # The next one's only teacher.
            said, weights = [job.predict(trained.student, rows.transfer, job.recipe.bf16)], [1.0]
    _write(job, trained)
    for checkpoint in checkpoints:
        clear_checkpoint(checkpoint)


def _job_name(fold: int | None) -> str:
    return f"distil-{ALL_ROWS if fold is None else fold}"


def _rows(paths: RunPaths, fold: int | None, max_unlabelled: int, seed: int) -> StudentRows:
    records = read_records(paths.records, paths.labels, [PART, LABELS])
    train, test, unlabelled = (
        np.flatnonzero(records.table[PART].to_numpy() == part) for part in (TRAIN, TEST, UNLABELLED)
    )
    learned: npt.NDArray[np.bool_] = np.ones(len(train), dtype=bool)
    if fold is not None:
        learned = read_folds(paths.folds).training(fold)
    drawn = np.sort(np.random.default_rng(seed).permutation(len(unlabelled))[:max_unlabelled])
    targets = records.targets()[learned]
    return StudentRows(records.label_names, targets, train[learned], train[~learned], test, unlabelled, drawn)


def _train(
    job: StudentJob,
    body: Body,
    said: list[Floats],
    weights: list[float],
    last: bool,
    checkpoint: Path,
) -> Trained:
    """Train one student of the chain on what each of its teachers said of `job.rows.transfer`."""
    distil, rows = job.distil, job.rows
    lessons = distil.lessons
    teacher = None if lessons.teacher is None else load_classifier(job.fine_tuned(lessons.teacher).model, 0.0)
    shown_by = "" if teacher is None else fingerprint_of(teacher, "")
    students = new_students(job.paths, distil, rows.label_names, rows.targets, job.fine_tuned, body)
    shown = lessons.layers if body.layers == distil.layers and lessons.layers else body.layers
    task = new_task(course_of(distil, last), students, rows.targets, teacher, shown, job.device)
    report = fit(
        task,
        transfer_set(job.tokens, rows.transfer, said, rows.targets, weights),
        job.recipe,
        name=f"s7 {_job_name(job.fold)}",
        is_head=learns_fast,
        device=job.device,
        checkpoint=checkpoint,
        depends_on=f"{distil} {shown_by} {code_hash(__name__)}",
    )
    return Trained(students[0], task.exits, report)


def _write(job: StudentJob, trained: Trained) -> None:
    """Write what the student predicts, its folder, and the report."""
    distil, rows, student = job.distil, job.rows, trained.student
    name = ALL_ROWS if job.fold is None else job.fold
    files = job.paths.student(name)
    predicted = {files.test: rows.test, files.unlabelled: rows.unlabelled}
    if job.fold is not None:
        predicted[files.validation] = rows.validation
    for target, places in predicted.items():
        write_array(target, job.predict(student, places))
    tokenizer = load_tokenizer(job.paths.encoder(distil.encoder))
    tokenizer.model_max_length = distil.max_tokens
    rates = rows.targets.mean(axis=0)
    with replacing(files.model) as folder:
        save_folder(folder, student, tokenizer)
        if trained.exits is not None:
            save_exits(trained.exits, folder)
            save_speeds(speeds_of(student, trained.exits, job.tokens, _speed_rows(rows), rates, job.device), folder)
    report = {
        "member": "student",
        "round": job.teacher_round,
        "fold": name,
        "training_rows": len(rows.learned),
        "pseudo_rows": len(rows.test) + len(rows.drawn),
        **asdict(trained.report),
    }
    write_json(files.report, report)
    rows_learned = f"{report['training_rows']} labelled and {report['pseudo_rows']} other rows"
    print(f"s7 {_job_name(job.fold)}: {rows_learned} in {trained.report.seconds} s", file=sys.stderr)


def _speed_rows(rows: StudentRows) -> IntArray:
    """Rows that the speeds of early exits are set on: without labels, where there are any, as those to come are."""
    others = rows.transfer[len(rows.learned) :]
    return (others if len(others) else rows.learned)[-SPEED_ROWS:]
