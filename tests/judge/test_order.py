import numpy as np
import numpy.typing as npt
import pytest

from polydx.judge import order
from polydx.judge.order import order_leak

LABELS = 4


def numbered_by_department(
    rows: int, draw: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """Positions in a shuffled table; a record's department, thus its likeliest label, follows from its position."""
    positions = draw.permutation(rows).astype(np.float64)
    department = (positions * LABELS / rows).astype(int)
    chance = np.where(department[:, None] == np.arange(LABELS), 0.8, 0.1)
    return positions, (draw.random((rows, LABELS)) < chance).astype(np.float32)


def test_numbering_by_department_leaks_and_the_row_order_does_not() -> None:
    positions, targets = numbered_by_department(600, np.random.default_rng(0))
    by_number = order_leak(positions, targets, np.arange(600), neighbours=5, permutations=5, seed=0)
    by_row = order_leak(np.arange(600.0), targets, np.arange(600), neighbours=5, permutations=5, seed=0)
    assert by_number is not None
    assert by_row is not None
    assert by_number.leaks
    assert by_number.macro_f1 > 0.7
    assert not by_row.leaks
    assert len(by_number.by_chance) == 5
    assert max(by_number.by_chance) < 0.55
    assert by_number.without == pytest.approx(sum(by_number.by_chance) / 5)
    assert by_number.gain == pytest.approx(by_number.macro_f1 - by_number.without) and by_number.gain > 0.2
    assert abs(by_row.gain) < 0.05
    assert by_number == order_leak(positions, targets, np.arange(600), neighbours=5, permutations=5, seed=0)


def test_chance_is_seldom_called_a_leak() -> None:
    alarms = 0
    for seed in range(40):
        draw = np.random.default_rng(seed)
        targets = (draw.random((120, LABELS)) < 0.3).astype(np.float32)
        found = order_leak(np.arange(120.0), targets, np.arange(120), neighbours=3, permutations=5, seed=seed)
        assert found is not None
        alarms += found.leaks
    assert alarms <= 1


def test_a_copy_on_the_next_row_is_no_leak_of_the_order() -> None:
    """The planted fault: where copies may part, the order of chance records seems to leak."""
    draw = np.random.default_rng(4)
    groups = np.sort(np.append(np.arange(500), draw.choice(500, 150, replace=False)))
    targets = (draw.random((500, 12)) < 0.1).astype(np.float32)[groups]
    places = np.arange(650.0)
    together, parted = (
        order_leak(places, targets, units, neighbours=5, permutations=5, seed=0) for units in (groups, np.arange(650))
    )
    assert together is not None and not together.leaks
    assert parted is not None and parted.leaks


def test_a_fold_never_sees_its_own_labels() -> None:
    """The planted fault: turning one fold's labels over must change nothing but that fold's own truth."""
    draw = np.random.default_rng(3)
    positions, targets = numbered_by_department(200, draw)
    truth, folds = targets > 0.5, draw.permutation(np.arange(200) % order.FOLDS)
    seen: list[list[bytes]] = []
    for labels in (truth, truth ^ (folds == 0)[:, None]):
        rows = folds == 0
        votes = order._votes(positions[rows], positions[~rows], labels[~rows], 3)
        seen.append([votes.tobytes(), order._needed_votes(positions, labels, folds, 0, 3).tobytes()])
    assert seen[0] == seen[1]


def test_votes_match_a_slow_count() -> None:
    draw = np.random.default_rng(4)
    known, asking = draw.integers(0, 40, 60).astype(np.float64), draw.integers(-5, 45, 25).astype(np.float64)
    truth = draw.random((60, LABELS)) < 0.4
    votes = order._votes(asking, known, truth, 7)
    in_order = sorted(range(60), key=lambda row: (known[row], row))
    for row, place in enumerate(asking):
        nearest = sorted(in_order, key=lambda other: abs(known[other] - place))[:7]
        farthest = abs(known[nearest[-1]] - place)
        certain = [other for other in nearest if abs(known[other] - place) < farthest]
        assert (votes[row] >= truth[certain].sum(axis=0)).all()
        assert (votes[row] <= truth[np.abs(known - place) <= farthest].sum(axis=0)).all()


def test_too_few_rows_are_not_judged() -> None:
    assert (
        order_leak(np.arange(10.0), np.ones((10, 1), np.float32), np.arange(10), neighbours=5, permutations=2, seed=0)
        is None
    )


def test_one_permutation_has_no_spread() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        order_leak(
            np.arange(100.0), np.ones((100, 1), np.float32), np.arange(100), neighbours=5, permutations=1, seed=0
        )
