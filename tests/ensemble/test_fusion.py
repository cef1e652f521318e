import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from polydx.ensemble.fusion import arithmetic_mean, geometric_mean, log_odds_mean, power_mean, rank_mean


def some_members(members=3, rows=40, labels=4, seed=0):
    return np.random.default_rng(seed).random((members, rows, labels), dtype=np.float32)


def test_means_by_hand():
    members = np.array([[[0.2, 0.4]], [[0.6, 0.0]]], dtype=np.float32)
    np.testing.assert_allclose(arithmetic_mean(members), [[0.4, 0.2]])
    np.testing.assert_allclose(arithmetic_mean(members, np.array([0.25, 0.75])), [[0.5, 0.1]])
    assert arithmetic_mean(members).dtype == arithmetic_mean(members, np.array([0.25, 0.75])).dtype == np.float32


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6))
def test_a_weighted_mean_stays_a_probability(seed, count):
    draw = np.random.default_rng(seed)
    weights = draw.dirichlet(np.ones(count))
    members = draw.choice(np.float32([0, 0.3, 1]), (count, 8, 3))
    of_labels = draw.dirichlet(np.ones(count), 3).T
    for given_weights in (weights, of_labels):
        for fused in (
            arithmetic_mean(members, given_weights),
            geometric_mean(members, given_weights),
            log_odds_mean(members, given_weights),
            power_mean(members, 3.0, given_weights),
            rank_mean(members, members, given_weights),
        ):
            assert fused.shape == (8, 3) and fused.dtype == np.float32
            assert fused.min() >= 0 and fused.max() <= 1


@pytest.mark.parametrize(
    "weights", [None, np.array([0.5, 0.3, 0.2]), np.array([[0.2, 1, 0], [0.3, 0, 0], [0.5, 0, 1]])]
)
def test_means_against_plain_loops(weights):
    members = some_members(labels=3).astype(np.float64)
    of_label = np.full((3, 3), 1 / 3) if weights is None else np.broadcast_to(weights.reshape(3, -1), (3, 3))
    for row in range(40):
        for label in range(3):
            opinions, shares = members[:, row, label], of_label[:, label]
            geometric = np.prod(opinions**shares)
            odds = np.prod((opinions / (1 - opinions)) ** shares)
            wanted = {
                geometric_mean: geometric,
                log_odds_mean: odds / (1 + odds),
                lambda table, share: power_mean(table, 3.0, share): (shares @ opinions**3) ** (1 / 3),
            }
            for fuse, value in wanted.items():
                found = fuse(members[:, row : row + 1].astype(np.float32), weights)[0, label]
                assert found == pytest.approx(value, abs=1e-6)
    if weights is not None:
        loop = sum(members[member] * of_label[member] for member in range(3))
        np.testing.assert_allclose(arithmetic_mean(members.astype(np.float32), weights), loop, atol=1e-6)


def test_the_power_mean_goes_from_the_geometric_to_the_arithmetic_and_the_highest():
    members = some_members()
    np.testing.assert_allclose(power_mean(members, 1.0), arithmetic_mean(members), atol=1e-6)
    np.testing.assert_allclose(power_mean(members, 1e-4), geometric_mean(members), atol=1e-3)
    np.testing.assert_allclose(power_mean(members, 200.0), members.max(axis=0), atol=0.01)
    with pytest.raises(ValueError, match="above 0"):
        power_mean(members, 0.0)


def test_one_member_alone_cannot_rule_a_label_out():
    assert geometric_mean(np.array([[[0.0]], [[0.9]]], dtype=np.float32))[0, 0] > 0


def test_the_rank_mean_orders_by_ranks_and_keeps_the_means_probabilities():
    members = some_members()
    fused = rank_mean(members, members)
    ranks = np.mean([rankdata(member, axis=0) for member in members], axis=0)
    for label in range(4):
        untied = np.array([(np.abs(ranks[:, label] - rank) < 1e-6).sum() == 1 for rank in ranks[:, label]])
        assert untied.any()
        expected = np.sort(arithmetic_mean(members)[:, label])[
            rankdata(ranks[:, label].round(6), "min").astype(int) - 1
        ]
        np.testing.assert_allclose(fused[untied, label], expected[untied], atol=1e-6)


def test_bending_a_member_does_not_move_ranks():
    members = some_members()
    bent = members.copy()
    bent[0] = bent[0] ** 4
    order = [np.argsort(rank_mean(table, table)[:, 0], kind="stable") for table in (members, bent)]
    np.testing.assert_array_equal(*order)


def test_new_rows_are_ranked_among_the_reference():
    members = some_members()
    fused = rank_mean(members, members)
    np.testing.assert_allclose(rank_mean(members[:, 7:9], members), fused[7:9])
