import numpy as np

from polydx.judge.held_out import draw_groups


def test_whole_groups_are_drawn():
    groups = np.repeat(np.arange(30), 3)
    drawn = draw_groups(groups, 0.1, seed=0)
    assert drawn.sum() == 9
    assert not set(groups[drawn]) & set(groups[~drawn])
    np.testing.assert_array_equal(drawn, draw_groups(groups, 0.1, seed=0))
    assert (drawn != draw_groups(groups, 0.1, seed=1)).any()


def test_at_least_one_group_is_drawn():
    assert draw_groups(np.arange(5), 0.001, seed=0).sum() == 1
    assert draw_groups(np.zeros(5, dtype=int), 0.2, seed=0).all()
