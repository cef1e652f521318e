"""What a student's teachers said, read from their files, and how much each counts."""

from polydx.artifacts import Floats, read_array
from polydx.config import Distil
from polydx.contest.records import LABELS, PART, read_records
from polydx.distil.teaching import FoldAnswers, Taught, teach_final, teach_fold, weighing_rows, weighted_mean
from polydx.ensemble.cuts import best_cuts
from polydx.judge.folds import Folds, read_folds
from polydx.paths import RunPaths


def teachers_answers(
    paths: RunPaths, fold: int | None, distil: Distil, teachers: tuple[str, ...], teacher_round: int
) -> tuple[list[Taught], list[float]]:
    """Read the answers that one student learns, and how often each is drawn: one, the teachers' mean, unless sampled.

    Args:
        paths: The run's files.
        fold: The student's fold job; None for the one on all rows.
        distil: The student's settings.
        teachers: Members that teach.
        teacher_round: The round their models are of.
    """
    folds = read_folds(paths.folds)
    given = distil.teacher_weights
    # Who weighs nothing isn't read.
    teachers = tuple(member for member in teachers if not given or given.get(member, 0.0) > 0.0)
    weights = [given.get(member, 1.0) for member in teachers]
    taught = teach(paths, folds, fold, teachers, teacher_round)
    if distil.teachers == "by_score":
        targets = read_records(paths.records, paths.labels, [PART, LABELS]).targets()
        scores = score_teachers(paths, folds, fold, teachers, teacher_round, targets)
        weights = [weight * score for weight, score in zip(weights, scores, strict=True)]
    if distil.teachers == "sampled":
        return taught, weights
    return [weighted_mean(taught, weights)], [1.0]


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
