"""Canary of distillation: a teacher that saw the fold teaches that fold's student nothing.

The teachers are real, if small: least squares on the rows that each may learn from, so that what they say of any row
moves with the labels they saw.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from polydx.artifacts import write_array
from polydx.contest.records import ID
from polydx.distil.teaching import Taught
from polydx.judge.folds import FOLD, REPEAT, Folds
from polydx.paths import RunPaths
from polydx.stages.teachers import teach

ROWS, LABELS, FOLDS, SCORED = 24, 2, 3, 1
OTHER_ROWS = {"test": 5, "unlabelled": 7}
DRAW = np.random.default_rng(0)
FEATURES = {part: DRAW.normal(size=(rows, 4)) for part, rows in {"train": ROWS, **OTHER_ROWS}.items()}
TARGETS = DRAW.random((ROWS, LABELS)) < 0.4


@pytest.fixture
def run(tmp_path: Path) -> tuple[RunPaths, Folds]:
    table = {ID: [f"r{row}" for row in range(ROWS)], REPEAT: [0] * ROWS, FOLD: [row % FOLDS for row in range(ROWS)]}
    return RunPaths("canary", tmp_path / "runs", tmp_path / "submissions"), Folds(pd.DataFrame(table))


def train_teachers(paths: RunPaths, folds: Folds, targets: npt.NDArray[np.bool_]) -> None:
    for job in range(folds.jobs):
        files, learnt = paths.fold_model("linear", 0, job), folds.training(job)
        weights = np.linalg.lstsq(FEATURES["train"][learnt], targets[learnt].astype(float), rcond=None)[0]
        answers = {part: np.clip(rows @ weights, 0, 1).astype(np.float32) for part, rows in FEATURES.items()}
        write_array(files.training, answers["train"][learnt])
        write_array(files.validation, answers["train"][~learnt])
        write_array(files.test, answers["test"])
        write_array(files.unlabelled, answers["unlabelled"])


def taught(paths: RunPaths, folds: Folds, fold: int | None) -> bytes:
    (lesson,) = teach(paths, folds, fold, ("linear",), 0)
    assert isinstance(lesson, Taught)
    return b"".join(part.tobytes() for part in (lesson.labelled, lesson.test, lesson.unlabelled))


def test_no_label_of_a_fold_reaches_what_its_student_is_taught(run: tuple[RunPaths, Folds]) -> None:
    paths, folds = run
    train_teachers(paths, folds, TARGETS)
    honest, leaking = taught(paths, folds, SCORED), taught(paths, folds, None)
    train_teachers(paths, folds, TARGETS ^ folds.validation(SCORED)[:, None])
    assert taught(paths, folds, SCORED) == honest
    # The guard sees a leak: all folds' teachers together, whose lessons are for the student that is scored nowhere.
    assert taught(paths, folds, None) != leaking


@pytest.mark.parametrize("kind", ["training", "validation", "test", "unlabelled"])
def test_a_planted_file_of_another_fold_is_never_opened(run: tuple[RunPaths, Folds], kind: str) -> None:
    paths, folds = run
    train_teachers(paths, folds, TARGETS)
    lesson = taught(paths, folds, SCORED)
    for job in {*range(FOLDS)} - {SCORED}:
        getattr(paths.fold_model("linear", 0, job), kind).write_bytes(b"a trap for whoever opens it")
    assert taught(paths, folds, SCORED) == lesson
    getattr(paths.fold_model("linear", 0, SCORED), kind).write_bytes(b"a trap for whoever opens it")
    with pytest.raises(ValueError):  # the trap works
        taught(paths, folds, SCORED)
