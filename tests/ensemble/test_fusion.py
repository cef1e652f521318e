import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polydx.ensemble.fusion import fit_weights, mean, weighted_mean
from polydx.judge.metrics import macro_f1


def members_of(targets, noises, seed=0):
    draw = np.random.default_rng(seed)
    opinions = [0.5 + (targets - 0.5) * 0.6 + noise * draw.normal(size=targets.shape) for noise in noises]
    return np.clip(np.stack(opinions), 0, 1).astype(np.float32)


def random_targets(rows=600, labels=5, seed=1):
    return np.random.default_rng(seed).random((rows, labels)) < 0.2


def test_means_by_hand():
    members = np.array([[[0.2, 0.4]], [[0.6, 0.0]]], dtype=np.float32)
    np.testing.assert_allclose(mean(members), [[0.4, 0.2]])
    np.testing.assert_allclose(weighted_mean(members, np.array([0.25, 0.75])), [[0.5, 0.1]])
    assert mean(members).dtype == weighted_mean(members, np.array([0.25, 0.75])).dtype == np.float32


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6))
def test_a_weighted_mean_stays_a_probability(seed, count):
    draw = np.random.default_rng(seed)
    weights = draw.dirichlet(np.ones(count))
    fused = weighted_mean(draw.choice(np.float32([0, 0.3, 1]), (count, 8, 3)), weights)
    assert fused.min() >= 0 and fused.max() <= 1


def test_weights_find_the_good_member_and_are_weights():
    targets = random_targets()
    weights = fit_weights(members_of(targets, [1.5, 0.3, 1.5]), targets, 10.0)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert weights.argmax() == 1 and weights[1] > 0.5


def test_weights_fitted_on_some_rows_are_no_worse_than_the_best_member_on_others():
    targets = random_targets(rows=2000)
    members = members_of(targets, [0.4, 0.4, 1.0])
    half = np.arange(2000) < 1000
    fused = weighted_mean(members, fit_weights(members[:, half], targets[half], 10.0))[~half]
    best = max(macro_f1(member[~half] >= 0.5, targets[~half]) for member in members)
    assert macro_f1(fused >= 0.5, targets[~half]) > best


def test_one_member_gets_all_the_weight():
    targets = random_targets(rows=50)
    assert fit_weights(members_of(targets, [0.5]), targets, 10.0).tolist() == [1.0]
