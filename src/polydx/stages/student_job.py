"""One student's records, and what its training needs beside its teachers' answers."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from polydx.artifacts import Floats
from polydx.config import Distil
from polydx.contest.records import LABELS, PART, TEST, TRAIN, UNLABELLED, read_records
from polydx.distil.student import Student
from polydx.judge.folds import read_folds
from polydx.model.layers import classify
from polydx.model.tokens import IntArray, TokenTable
from polydx.paths import FoldFiles, RunPaths
from polydx.train.classification import predict_probabilities
from polydx.train.loop import Recipe


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

    def like_those_to_come(self, most: int) -> IntArray:
        """Places of the last rows without labels that it learns from; of labelled ones where there are none."""
        others = self.transfer[len(self.learned) :]
        return (others if len(others) else self.learned)[-most:]


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


def student_rows(paths: RunPaths, fold: int | None, max_unlabelled: int, seed: int) -> StudentRows:
    """Find the records of one student.

    Args:
        paths: The run's files.
        fold: Its fold job; None for the one on all labelled rows.
        max_unlabelled: Most unlabelled records to learn from.
        seed: Draws them.
    """
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
