import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polydx.train.batching import batches_by_tokens, padding_share, plan_batches, split_batch, steps_of

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=400).map(lambda values: np.array(values, dtype=np.int64))


@given(lengths=LENGTHS, batch_size=st.integers(1, 40), seed=st.integers(0, 5))
def test_an_epoch_visits_every_row_once(lengths: np.ndarray, batch_size: int, seed: int) -> None:
    plan = plan_batches(lengths, batch_size, 2.0, seed)
    first, second = plan[: len(plan) // 2], plan[len(plan) // 2 :]
    for epoch in (first, second):
        assert sorted(np.concatenate(epoch).tolist()) == list(range(len(lengths)))
        assert max(map(len, epoch)) <= batch_size


def test_same_seed_same_plan_and_epochs_differ() -> None:
    lengths = np.arange(1, 101)
    plan, again, other = (plan_batches(lengths, 8, 2.0, seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(plan, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(plan, other, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(plan[:13], plan[13:], strict=True))


@pytest.mark.parametrize(("rows", "batch_size", "epochs", "steps"), [(10, 4, 1.0, 3), (10, 4, 0.5, 2), (10, 5, 2.5, 5)])
def test_steps_by_hand(rows: int, batch_size: int, epochs: float, steps: int) -> None:
    assert steps_of(rows, batch_size, epochs) == steps
    assert len(plan_batches(np.ones(rows, dtype=np.int64), batch_size, epochs, 0)) == steps


def test_similar_lengths_share_batches() -> None:
    lengths = np.random.default_rng(0).integers(10, 500, 3000)
    bucketed = plan_batches(lengths, 16, 1.0, 0)
    shuffled = list(np.random.default_rng(0).permutation(3000)[: 187 * 16].reshape(187, 16))
    assert padding_share(lengths, bucketed) < 0.05 < 0.3 < padding_share(lengths, shuffled)


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
