import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polydx.errors import UserError
from polydx.judge.folds import FOLD, NEVER_VALIDATED, Folds, make_folds, read_folds


def deal(targets, groups=None, **changes):
    arguments = {"scheme": "stratified", "folds": 5, "repeats": 2, "holdout_share": 0.2, "seed": 3} | changes
    groups = np.arange(len(targets)) if groups is None else groups
    return make_folds([f"r{row}" for row in range(len(targets))], targets, groups, **arguments)


def random_targets(rows=400, labels=6, seed=0):
    rates = np.linspace(0.02, 0.3, labels)
    return (np.random.default_rng(seed).random((rows, labels)) < rates).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    scheme=st.sampled_from(["stratified", "repeated", "plain", "holdout"]),
    folds=st.integers(2, 5),
    group_count=st.integers(20, 60),
    share=st.floats(0.001, 0.999),
)
def test_groups_never_straddle_and_every_row_is_validated_once_a_repeat(seed, scheme, folds, group_count, share):
    draw = np.random.default_rng(seed)
    targets = (draw.random((80, 4)) < 0.2).astype(np.float32)
    groups = draw.integers(0, group_count, 80)
    try:
        made = deal(targets, groups, scheme=scheme, folds=folds, holdout_share=share, seed=seed)
    except UserError as error:
        assert error.place == "split.holdout_share" and scheme == "holdout" and not 0.15 < share < 0.85
        return
    assert made.jobs == {"holdout": 1, "repeated": 2 * folds}.get(scheme, folds)
    for job in range(made.jobs):
        assert made.validation(job).any() and made.training(job).any()
        assert not set(groups[made.validation(job)]) & set(groups[made.training(job)])
    times = sum(made.validation(job).astype(int) for job in range(made.jobs))
    if scheme == "holdout":
        assert set(times) == {0, 1}
    else:
        assert set(times) == {2 if scheme == "repeated" else 1}


@pytest.mark.parametrize("scheme", ["stratified", "holdout"])
def test_labels_and_rows_without_labels_are_spread_evenly(scheme):
    targets = random_targets()
    targets[:120] = 0
    made = deal(targets, scheme=scheme)
    share = 0.2
    with_none = np.column_stack([targets, targets.sum(axis=1) == 0])
    for job in range(made.jobs):
        found = with_none[made.validation(job)].sum(axis=0)
        assert np.abs(found - share * with_none.sum(axis=0)).max() <= 2
    assert abs(made.validation(0).sum() - 80) <= 4


def test_the_same_seed_gives_the_same_folds_and_another_gives_others():
    targets = random_targets()
    assert deal(targets).table.equals(deal(targets).table)
    assert not deal(targets).table.equals(deal(targets, seed=4).table)


def test_repeats_differ():
    made = deal(random_targets(), scheme="repeated")
    assert (made.validation(0) != made.validation(5)).any()


def test_out_of_fold_is_the_mean_over_repeats_in_record_order():
    targets = random_targets(rows=60)
    made = deal(targets, scheme="repeated", folds=3)
    arrays = [targets[made.validation(job)] + (1 if job >= 3 else 0) for job in range(made.jobs)]
    np.testing.assert_allclose(made.out_of_fold(arrays), targets + 0.5)
    with pytest.raises(ValueError, match="validation rows"):
        made.out_of_fold([array[1:] for array in arrays])
    with pytest.raises(ValueError, match="fold jobs"):
        made.out_of_fold(arrays[:-1])


def test_out_of_fold_of_a_holdout_leaves_other_rows_unknown():
    targets = random_targets(rows=60)
    made = deal(targets, scheme="holdout")
    found = made.out_of_fold([targets[made.validation(0)]])
    np.testing.assert_array_equal(np.isnan(found).all(axis=1), ~made.scored())
    assert (made.table[FOLD] == NEVER_VALIDATED).sum() == (~made.scored()).sum()


def test_other_rows_are_averaged_over_as_many_models_as_those_out_of_fold():
    made = deal(random_targets(rows=60), scheme="repeated", folds=3)
    said = np.random.default_rng(0).random((made.jobs, 4, 2)).astype(np.float32)
    np.testing.assert_allclose(made.of_other_rows(list(said)), (said[:3] + said[3:]) / 2)
    first = made.first_repeat()
    assert (made.count, made.jobs, first.jobs) == (3, 6, 3)
    np.testing.assert_array_equal(first.of_other_rows(list(said[:3])), said[:3])
    for job in range(3):
        np.testing.assert_array_equal(first.validation(job), made.validation(job))


def test_more_folds_than_groups_is_the_users_fault():
    with pytest.raises(UserError, match=r"5 folds of 3 groups.*fewer folds"):
        deal(random_targets(rows=9), np.repeat([0, 1, 2], 3))


@pytest.mark.parametrize(
    ("share", "rows", "use"),
    [(0.97, 30, "learn from"), (0.95, 30, "learn from"), (0.02, 30, "validate"), (0.2, 1, "learn from")],
)
def test_a_share_that_leaves_one_side_empty_is_the_users_fault(share, rows, use):
    problem = rf"split.holdout_share: {share} of {rows} groups of records leaves nothing to {use}; choose a share"
    with pytest.raises(UserError, match=problem):
        deal(random_targets(rows), scheme="holdout", holdout_share=share)


def test_an_unknown_job_is_refused():
    with pytest.raises(IndexError, match="fold job 5 of 5"):
        deal(random_targets()).validation(5)


def test_the_table_survives_writing(tmp_path):
    made = deal(random_targets())
    made.table.to_parquet(tmp_path / "folds.parquet", index=False)
    read = read_folds(tmp_path / "folds.parquet")
    assert isinstance(read, Folds)
    assert read.table.equals(made.table)
