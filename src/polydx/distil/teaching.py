"""Which teacher teaches which row.

A student that is scored on a fold learns only from that fold's teachers, about its training rows too: any other
teacher trained on the fold's validation labels. The student that is shipped trains on every label and is scored
nowhere, so it takes what is closest to what teachers say of new records: out-of-fold answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polydx.artifacts import Floats
from polydx.judge.folds import Folds


@dataclass(frozen=True)
class FoldAnswers:
    """What the teachers of one fold say: the mean of their probabilities, float32 `[rows, labels]`.

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
