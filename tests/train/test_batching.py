from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polydx.train.batching import Plan, batches_by_tokens, padding_share, plan_batches, split_batch

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=400).map(lambda values: np.array(values, dtype=np.int64))


def epochs_of(plan: Plan) -> list[list[np.ndarray]]:
    return [plan.batches[start:stop] for start, stop in pairwise((0, *plan.epoch_ends))]


@given(
    lengths=LENGTHS,
    batch_size=st.integers(1, 40),
    budget=st.none() | st.integers(1, 2000),
    seed=st.integers(0, 5),
)
def test_an_epoch_visits_every_row_once_within_both_bounds(
    lengths: np.ndarray, batch_size: int, budget: int | None, seed: int
) -> None:
    plan = plan_batches(lengths, batch_size, 2.0, seed, budget)
    assert plan.epoch_ends[-1] == len(plan.batches)
    for epoch in epochs_of(plan):
        assert sorted(np.concatenate(epoch).tolist()) == list(range(len(lengths)))
        assert max(map(len, epoch)) <= batch_size
        if budget is not None:
            assert all(len(rows) == 1 or len(rows) * lengths[rows].max() <= budget for rows in epoch)


@given(lengths=LENGTHS, batch_size=st.integers(1, 40), budget=st.integers(1, 2000), epochs=st.integers(1, 3))
def test_under_a_budget_every_row_counts_the_same_and_the_mean_step_weighs_1(
    lengths: np.ndarray, batch_size: int, budget: int, epochs: int
) -> None:
    plan = plan_batches(lengths, batch_size, float(epochs), 0, budget)
    weights = [plan.weight(step) for step in range(len(plan.batches))]
    assert np.mean(weights) == pytest.approx(1)
    counts = np.zeros(len(lengths))
    for rows, weight in zip(plan.batches, weights, strict=True):
        counts[rows] += weight / len(rows)
    assert counts == pytest.approx(np.full(len(lengths), len(weights) / len(lengths)))


def test_without_a_budget_all_steps_weigh_alike() -> None:
    plan = plan_batches(np.arange(1, 11), 4, 2.0, 0)
    assert [plan.weight(step) for step in range(6)] == [1.0] * 6


@pytest.mark.parametrize("budget", [None, 300])
def test_same_seed_same_plan_and_epochs_differ(budget: int | None) -> None:
    lengths = np.arange(1, 101)
    plan, again, other = (plan_batches(lengths, 8, 2.0, seed, budget) for seed in (3, 3, 4))
    assert listed(plan.batches) == listed(again.batches) != listed(other.batches)
    first, second = epochs_of(plan)
    assert listed(first) != listed(second)


def listed(batches: list[np.ndarray]) -> list[list[int]]:
    return [rows.tolist() for rows in batches]


@pytest.mark.parametrize(("rows", "batch_size", "epochs", "steps"), [(10, 4, 1.0, 3), (10, 4, 0.5, 2), (10, 5, 2.5, 5)])
def test_steps_by_hand(rows: int, batch_size: int, epochs: float, steps: int) -> None:
    plan = plan_batches(np.ones(rows, dtype=np.int64), batch_size, epochs, 0)
    assert len(plan.batches) == steps


def test_epochs_of_a_budget_have_steps_of_their_own() -> None:
    plan = Plan([np.zeros(1)] * 7, (3, 8), mean_rows=1.5)
    assert [plan.steps_in(epochs) for epochs in (0.0, 0.5, 1.0, 1.2, 2.0, 9.0)] == [0, 1.5, 3, 4, 8, 8]


def test_similar_lengths_share_batches() -> None:
    lengths = np.random.default_rng(0).integers(10, 500, 3000)
    shuffled = list(np.random.default_rng(0).permutation(3000)[: 187 * 16].reshape(187, 16))
    assert padding_share(lengths, shuffled) > 0.3
    assert padding_share(lengths, plan_batches(lengths, 16, 1.0, 0).batches) < 0.05
    batches = plan_batches(lengths, 1000, 1.0, 0, 4096).batches
    assert padding_share(lengths, batches) < 0.05
    assert np.mean([len(rows) * lengths[rows].max() for rows in batches]) > 0.9 * 4096


@given(lengths=LENGTHS, budget=st.integers(1, 2000))
def test_prediction_batches_cover_every_row_within_the_budget(lengths: np.ndarray, budget: int) -> None:
    batches = list(batches_by_tokens(lengths, budget))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert all(len(rows) == 1 or len(rows) * lengths[rows].max() <= budget for rows in batches)


def test_no_rows_no_batches() -> None:
    assert list(batches_by_tokens(np.zeros(0, dtype=np.int64), 100)) == []


@given(rows=st.integers(1, 40), micro_batches=st.integers(1, 9), size=st.integers(1, 5))
def test_shares_of_a_batch_weigh_its_rows_alike(rows: int, micro_batches: int, size: int) -> None:
    batch = np.random.default_rng(0).permutation(100)[:rows]
    shares = [split_batch(batch, micro_batches, rank, size) for rank in range(size)]
    assert {len(share) for share in shares} == {min(micro_batches, rows)}
    weights = dict.fromkeys(batch.tolist(), 0.0)
    for part, weight in (part for share in shares for part in share):
        assert len(part) > 0
        for row in part:
            weights[int(row)] += weight / len(part)
    assert list(weights.values()) == pytest.approx([1 / rows] * rows)


def test_one_process_takes_a_batch_as_it_is_and_two_take_turns() -> None:
    batch = np.array([7, 3, 9, 4, 8])
    ((rows, weight),) = split_batch(batch, 1)
    assert rows.tolist() == batch.tolist() and weight == 1.0
    assert [(part.tolist(), weight) for part, weight in split_batch(batch, 2, 1, 2)] == [([3], 0.2), ([8], 0.2)]
    assert [(part.tolist(), weight) for part, weight in split_batch(batch, 4, 0, 2)] == [
        ([7], 0.2),
        ([9], 0.1),
        ([4], 0.1),
        ([8], 0.1),
    ]
