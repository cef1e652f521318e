"""Which teacher teaches which row.

A student that is scored on a fold learns only from that fold's teachers, about its training rows too: any other
teacher trained on the fold's validation labels. The student that is shipped trains on every label and is scored
nowhere, so it takes what is closest to what teachers say of new records: out-of-fold answers.

How much each teacher counts may follow its out-of-fold score. A fold's teachers were scored on that fold's rows alone,
so a fold's student weighs them by how the same members did on the other folds' rows. No label of its own fold is looked
at; the models that answered those rows trained on such labels, the second-order path that stacking accepts too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from polydx.artifacts import Floats
from polydx.judge.folds import Folds, Mask
from polydx.model.tokens import IntArray


@dataclass(frozen=True)
class FoldAnswers:
    """What one teacher of one fold says, or several in the mean: probabilities, float32 `[rows, labels]`.

    Attributes:
        training: Of the fold's training rows, in record order.
        validation: Of its validation rows.
        test: Of the test rows.
        unlabelled: Of the unlabelled rows.
    """

    training: Floats
    validation: Floats
    test: Floats
    unlabelled: Floats


@dataclass(frozen=True)
class Taught:
    """Teacher probabilities of every row that one student may learn from, float32 `[rows, labels]`.

    Attributes:
        labelled: Of its labelled rows, in record order: a fold's training rows, or all of them.
        test: Of the test rows.
        unlabelled: Of the unlabelled rows.
    """

    labelled: Floats
    test: Floats
    unlabelled: Floats

    def rows(self, drawn: IntArray) -> Floats:
        """Labelled rows, test rows and some of the unlabelled ones behind each other."""
        return np.concatenate([self.labelled, self.test, self.unlabelled[drawn]])


def teach_fold(own: FoldAnswers) -> Taught:
    """What the student of one fold may learn: only what that fold's own teachers say."""
    return Taught(own.training, own.test, own.unlabelled)


def teach_final(folds: Folds, answers: Sequence[FoldAnswers]) -> Taught:
    """What the student on all rows learns.

    Labelled rows get their out-of-fold answers. The rows that a hold-out never validates have none: they get what the
    teachers trained on them say, as a fold's student does of its training rows. Test and unlabelled rows get the mean
    over all folds.

    Args:
        folds: The folds of the training rows.
        answers: One a fold job, in job order.
    """
    labelled = folds.out_of_fold([each.validation for each in answers])
    never = ~folds.scored()
    if never.any():
        labelled[never] = np.mean(
            [each.training[never[folds.training(job)]] for job, each in enumerate(answers)], axis=0
        )
    return Taught(
        labelled,
        np.mean([each.test for each in answers], axis=0),
        np.mean([each.unlabelled for each in answers], axis=0),
    )


def weighing_rows(folds: Folds, fold: int | None) -> Mask:
    """Rows whose labels and out-of-fold answers may weigh one student's teachers: `[training rows]`, bool.

    Args:
        folds: The folds of the training rows.
        fold: The fold job that the student is scored on; None where it is scored nowhere.

    Raises:
        ValueError: There are none, as under a hold-out.
    """
    rows = folds.scored() if fold is None else folds.scored() & folds.training(fold)
    if not rows.any():
        raise ValueError(f"no row outside fold job {fold} has out-of-fold answers to weigh teachers by")
    return rows


def weighted_mean(teachers: Sequence[Taught], weights: Sequence[float]) -> Taught:
    """The weighted mean of what several teachers say.

    Args:
        teachers: One at least.
        weights: One a teacher, at least 0, not all 0. None may come from a score on a row that the student is scored
            on (`weighing_rows`): such a weight tells of that row's label.
    """

    def mean(kind: Literal["labelled", "test", "unlabelled"]) -> Floats:
        # One teacher after the other: together they would be many times what one of them says.
        summed = np.zeros(getattr(teachers[0], kind).shape)
        for teacher, weight in zip(teachers, weights, strict=True):
            summed += weight * getattr(teacher, kind)
        return (summed / sum(weights)).astype(np.float32)

    return Taught(mean("labelled"), mean("test"), mean("unlabelled"))
