"""Who teaches whom, under k-fold, repeated folds and a hold-out."""

import numpy as np
import pandas as pd
import pytest

from polydx.artifacts import Floats
from polydx.contest.records import ID
from polydx.distil.teaching import FoldAnswers, Taught, teach_final, teach_fold, weighing_rows, weighted_mean
from polydx.judge.folds import FOLD, REPEAT, Folds

LABELS = 2


def folds_of(*repeats: list[int]) -> Folds:
    rows = [(f"r{row}", repeat, fold) for repeat, dealt in enumerate(repeats) for row, fold in enumerate(dealt)]
    return Folds(pd.DataFrame(rows, columns=[ID, REPEAT, FOLD]))


def answers_of(folds: Folds) -> list[FoldAnswers]:
    """Random answers, different for every job."""
    answers = []
    for job in range(folds.jobs):
        draw = np.random.default_rng(job)

        def rows(count: int, draw: np.random.Generator = draw) -> Floats:
            return draw.random((count, LABELS), dtype=np.float32)

        training, validation = int(folds.training(job).sum()), int(folds.validation(job).sum())
        answers.append(FoldAnswers(rows(training), rows(validation), rows(3), rows(4)))
    return answers


def test_a_folds_student_learns_what_its_own_teachers_say() -> None:
    own = answers_of(folds_of([0, 1, 0, 1]))[1]
    taught = teach_fold(own)
    assert taught.labelled is own.training
    assert taught.test is own.test
    assert taught.unlabelled is own.unlabelled


def test_the_final_student_learns_out_of_fold_answers_and_means() -> None:
    folds = folds_of([0, 1, 0, 1, 2])
    answers = answers_of(folds)
    taught = teach_final(folds, answers)
    expected = [
        answers[0].validation[0],
        answers[1].validation[0],
        answers[0].validation[1],
        answers[1].validation[1],
        answers[2].validation[0],
    ]
    np.testing.assert_array_equal(taught.labelled, expected)
    np.testing.assert_allclose(taught.test, sum(each.test for each in answers) / 3, rtol=1e-6)
    np.testing.assert_allclose(taught.unlabelled, sum(each.unlabelled for each in answers) / 3, rtol=1e-6)
    assert {taught.labelled.dtype, taught.test.dtype, taught.unlabelled.dtype} == {np.dtype(np.float32)}


def test_repeats_are_averaged() -> None:
    folds = folds_of([0, 1], [1, 0])
    answers = answers_of(folds)
    taught = teach_final(folds, answers)
    np.testing.assert_allclose(taught.labelled[0], (answers[0].validation[0] + answers[3].validation[0]) / 2)


def test_rows_that_a_hold_out_never_validates_get_their_own_teachers_answers() -> None:
    folds = folds_of([-1, 0, -1, 0, -1])
    (answers,) = answers_of(folds)
    taught = teach_final(folds, [answers])
    np.testing.assert_array_equal(taught.labelled[[1, 3]], answers.validation)
    np.testing.assert_array_equal(taught.labelled[[0, 2, 4]], answers.training)


def test_the_rows_that_weigh_teachers_are_never_the_students_own() -> None:
    folds = folds_of([0, 1, 2, 0, 1], [1, 1, 0, 0, 2])
    visited = 0
    for job in range(folds.jobs):
        rows = weighing_rows(folds, job)
        assert not (rows & folds.validation(job)).any()
        assert (rows | folds.validation(job)).all()
        visited += 1
    assert visited == 6
    assert weighing_rows(folds, None).all()


def test_a_hold_out_has_no_rows_to_weigh_a_scored_students_teachers_by() -> None:
    folds = folds_of([-1, 0, -1, 0, -1])
    with pytest.raises(ValueError, match="no row outside fold job 0"):
        weighing_rows(folds, 0)
    assert weighing_rows(folds, None).tolist() == [False, True, False, True, False]


def test_teachers_are_averaged_by_their_weights() -> None:
    draw = np.random.default_rng(0)
    one, two = (Taught(*(draw.random((rows, LABELS), dtype=np.float32) for rows in (4, 2, 3))) for _ in range(2))
    found = weighted_mean([one, two], [1.0, 3.0])
    np.testing.assert_allclose(found.labelled, (one.labelled + 3 * two.labelled) / 4, rtol=1e-6)
    np.testing.assert_allclose(found.unlabelled, (one.unlabelled + 3 * two.unlabelled) / 4, rtol=1e-6)
    rows = found.rows(np.array([0, 2]))
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, np.concatenate([found.labelled, found.test, found.unlabelled[[0, 2]]]))
