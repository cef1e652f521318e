import numpy as np

from polydx.judge.coverage import coverage
from polydx.judge.folds import make_folds


def test_coverage_counts_groups_beside_rows():
    targets = np.zeros((12, 2), dtype=np.float32)
    targets[:3, 0] = 1
    targets[::2, 1] = 1
    groups = np.array([0, 0, 0, *range(1, 10)])
    folds = make_folds(
        ["" for _ in targets], targets, groups, scheme="stratified", folds=3, repeats=1, holdout_share=0.2, seed=3
    )
    first, second = coverage(folds, targets, groups)
    assert (first.positives, first.groups) == (3, 1)
    assert (second.positives, second.groups) == (6, 5)
    assert sorted(first.validation_positives) == [0, 0, 3]
    assert sum(second.validation_positives) == 6
