"""Stage 7: train the student of one fold, or the one on all rows that is shipped, and predict with it."""

import sys
from dataclasses import asdict
from functools import partial

import numpy as np

from polydx.artifacts import Floats, read_array, replacing, write_array, write_json
from polydx.config import Compute, Distil
from polydx.contest.records import LABELS, PART, TEST, TRAIN, UNLABELLED, read_records
from polydx.distil.course import new_task
from polydx.distil.exit_answers import speeds_of
from polydx.distil.student import Student
from polydx.distil.teaching import FoldAnswers, Taught, teach_final, teach_fold, weighing_rows, weighted_mean
from polydx.distil.training import learns_fast
from polydx.distil.transfer import transfer_set
from polydx.ensemble.cuts import best_cuts
from polydx.judge.folds import Folds, read_folds
from polydx.model.classifier import load_classifier
from polydx.model.encoders import load_tokenizer, save_folder
from polydx.model.exit_speeds import save_speeds
from polydx.model.exits import save_exits
from polydx.model.layers import classify
from polydx.model.tokens import IntArray
from polydx.paths import ALL_ROWS, RunPaths
from polydx.provenance import code_hash
from polydx.stages.readings import student_reading
from polydx.stages.recipes import new_recipe
from polydx.stages.students import chain_of, course_of, new_students
from polydx.stages.token_files import open_tokens
from polydx.train.checkpoint import clear_checkpoint, fingerprint_of
from polydx.train.classification import predict_probabilities
from polydx.train.device import job_seed, pick_device, prepare
from polydx.train.loop import fit

SPEED_ROWS = 2000
"""Rows that the speeds of early exits are set on, at most."""


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
    name = ALL_ROWS if fold is None else fold
    job = f"distil-{name}"
    own_seed = job_seed(seed, job)
    prepare(compute.threads, own_seed)
    records = read_records(paths.records, paths.labels, [PART, LABELS])
    folds = read_folds(paths.folds)
    train, test, unlabelled = (
        np.flatnonzero(records.table[PART].to_numpy() == part) for part in (TRAIN, TEST, UNLABELLED)
    )
    learned = np.ones(len(train), dtype=bool) if fold is None else folds.training(fold)
    targets = records.targets()[learned]
    drawn = np.sort(np.random.default_rng(own_seed).permutation(len(unlabelled))[: distil.max_unlabelled])
    rows = np.concatenate([train[learned], test, unlabelled[drawn]])
    weights = [distil.teacher_weights.get(member, 0.0 if distil.teacher_weights else 1.0) for member in teachers]
    taught = teach(paths, folds, fold, teachers, teacher_round)
    if distil.teachers == "by_score":
        scores = score_teachers(paths, folds, fold, teachers, teacher_round, records.targets())
        weights = [weight * score for weight, score in zip(weights, scores, strict=True)]
    if distil.teachers != "sampled":
        taught, weights = [weighted_mean(taught, weights)], [1.0]
    answers = [each.rows(drawn) for each in taught]

    tokenizer = load_tokenizer(paths.encoder(distil.encoder))
    tokenizer.model_max_length = distil.max_tokens
    tokens = open_tokens(paths, distil.encoder, student_reading(distil))
    device = pick_device(compute.device)
    recipe = new_recipe(distil, compute, device, own_seed)

    def predict(model: Student, places: IntArray) -> Floats:
        labels = len(records.label_names)
        return predict_probabilities(partial(classify, model), tokens, places, labels, device, recipe.bf16)

    # The student on all rows is scored nowhere: any fold's models may show it their layers.
    fine_tuned = partial(paths.fold_model, round_number=teacher_round, fold=fold or 0)
    teacher = None if distil.lessons.teacher is None else load_classifier(fine_tuned(distil.lessons.teacher).model, 0.0)
    shown_by = "" if teacher is None else fingerprint_of(teacher, "")
    chain = chain_of(distil)
    checkpoints = [paths.checkpoints(f"{job}-step{step}" if step else job) for step in range(len(chain))]
    for step, layers in enumerate(chain):
        students = new_students(paths, distil, records.label_names, targets, fine_tuned, layers)
        shown = distil.lessons.layers if layers == distil.layers and distil.lessons.layers else layers
        task = new_task(course_of(distil, step + 1 == len(chain)), students, targets, teacher, shown, device)
        fitted = fit(
            task,
            transfer_set(tokens, rows, answers, targets, weights),
            recipe,
            name=f"s7 {job}",
            is_head=learns_fast,
            device=device,
            checkpoint=checkpoints[step],
            depends_on=f"{distil} {shown_by} {code_hash(__name__)}",
        )
        student = students[0]
        if step + 1 < len(chain):
            # The next one's only teacher.
            answers, weights = [predict(student, rows)], [1.0]

    files = paths.student(name)
    predicted = {files.test: test, files.unlabelled: unlabelled}
    if fold is not None:
        predicted[files.validation] = train[~learned]
    for target, places in predicted.items():
        write_array(target, predict(student, places))
    with replacing(files.model) as folder:
        save_folder(folder, student, tokenizer)
        if task.exits is not None:
            save_exits(task.exits, folder)
            # The rows without labels come last: none was learnt by heart.
            table = speeds_of(
                student, task.exits, tokens, rows[-SPEED_ROWS:], targets.mean(axis=0), device, recipe.bf16
            )
            save_speeds(table, folder)
    report = {
        "member": "student",
        "round": teacher_round,
        "fold": name,
        "training_rows": int(learned.sum()),
        "pseudo_rows": len(test) + len(drawn),
        **asdict(fitted),
    }
    write_json(files.report, report)
    for checkpoint in checkpoints:
        clear_checkpoint(checkpoint)
    rows_learned = f"{report['training_rows']} labelled and {report['pseudo_rows']} other rows"
    print(f"s7 {job}: {rows_learned} in {fitted.seconds} s", file=sys.stderr)


def teach(
    paths: RunPaths, folds: Folds, fold: int | None, members: tuple[str, ...], teacher_round: int
) -> list[Taught]:
    """Read what each teacher may tell one student; a fold's student opens only files of its own fold's models."""
    if fold is not None:
        return [teach_fold(_answers(paths, fold, member, teacher_round)) for member in members]
    return [
        teach_final(folds, [_answers(paths, job, member, teacher_round) for job in range(folds.jobs)])
        for member in members
    ]


def score_teachers(
    paths: RunPaths, folds: Folds, fold: int | None, members: tuple[str, ...], teacher_round: int, targets: Floats
) -> list[float]:
    """Out-of-fold macro-F1 of each member at its labels' best thresholds, on the rows that may weigh its models.

    A threshold of each label's own, fitted on the very rows, flatters all members about alike; it needs no setting.

    Args:
        paths: The run's files.
        folds: The folds of the training rows.
        fold: The student's fold job; None for the one on all rows.
        members: Members that teach.
        teacher_round: The round their models are of.
        targets: `[training rows, labels]`, 0 or 1.
    """
    rows = weighing_rows(folds, fold)
    scores = []
    for member in members:
        jobs = [paths.fold_model(member, teacher_round, job).validation for job in range(folds.jobs)]
        answers = folds.out_of_fold([read_array(file) for file in jobs])
        scores.append(float(best_cuts(answers[rows], targets[rows] > 0).f1.mean()))
    return scores


def _answers(paths: RunPaths, fold: int, member: str, teacher_round: int) -> FoldAnswers:
    files = paths.fold_model(member, teacher_round, fold)
    return FoldAnswers(*(read_array(each) for each in (files.training, files.validation, files.test, files.unlabelled)))
