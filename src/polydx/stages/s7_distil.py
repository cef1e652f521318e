"""Stage 7: train the student of one fold, or the one on all rows that is shipped, and predict with it."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from polydx.artifacts import Floats, replacing, write_array, write_json
from polydx.config import Compute, Distil
from polydx.distil.course import new_task
from polydx.distil.exit_answers import speeds_of
from polydx.distil.student import Student
from polydx.distil.training import learns_fast
from polydx.distil.transfer import transfer_set
from polydx.model.classifier import load_classifier
from polydx.model.encoders import load_tokenizer, save_folder
from polydx.model.exit_speeds import save_speeds
from polydx.model.exits import Exits, save_exits
from polydx.paths import ALL_ROWS, RunPaths
from polydx.provenance import code_hash
from polydx.stages.readings import student_reading
from polydx.stages.recipes import new_recipe
from polydx.stages.student_job import StudentJob, student_rows
from polydx.stages.students import Body, chain_of, course_of, new_students
from polydx.stages.teachers import teachers_answers
from polydx.stages.token_files import open_tokens
from polydx.train.checkpoint import clear_checkpoint, fingerprint_of
from polydx.train.device import job_seed, pick_device, prepare
from polydx.train.fit_report import FitReport
from polydx.train.loop import fit

SPEED_ROWS = 2000
"""Rows that the speeds of early exits are set on, at most."""


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
    rows = student_rows(paths, fold, distil.max_unlabelled, own_seed)
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
            save_speeds(
                speeds_of(student, trained.exits, job.tokens, rows.like_those_to_come(SPEED_ROWS), rates, job.device),
                folder,
            )
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
