import numpy as np
import pytest

from polydx.ensemble.cuts import best_cuts
from polydx.ensemble.fusion import arithmetic_mean
from polydx.ensemble.weights import bagged_weights, blend_weights, fit_label_weights, fit_weights, weights_by_rank
from polydx.judge.metrics import label_scores, macro_f1


def members_of(targets, noises, seed=0):
    draw = np.random.default_rng(seed)
    opinions = [0.5 + (targets - 0.5) * 0.6 + noise * draw.normal(size=targets.shape) for noise in noises]
    return np.clip(np.stack(opinions), 0, 1).astype(np.float32)


def random_targets(rows=600, labels=5, seed=1):
    return np.random.default_rng(seed).random((rows, labels)) < 0.2


@pytest.mark.parametrize(
    ("scores", "weights"),
    [
        ([0.3, 0.5, 0.1, 0.4], [1 / 6, 3 / 6, 0, 2 / 6]),
        ([0.5, 0.5, 0.5, 0.5], [3 / 6, 2 / 6, 1 / 6, 0]),
        ([0.1, 0.2], [1 / 3, 2 / 3]),
        ([0.1], [1]),
    ],
)
def test_weights_by_rank(scores, weights):
    np.testing.assert_allclose(weights_by_rank(scores), weights)


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
    fused = arithmetic_mean(members, fit_weights(members[:, half], targets[half], 10.0))[~half]
    best = max(macro_f1(member[~half] >= 0.5, targets[~half]) for member in members)
    assert macro_f1(fused >= 0.5, targets[~half]) > best


def test_one_member_gets_all_the_weight():
    targets = random_targets(rows=50)
    assert fit_weights(members_of(targets, [0.5]), targets, 10.0).tolist() == [1.0]


def greedy_for_one_label(opinions, target, picks=12):
    """The selection of one label, written plainly: shares of the picks at the best moment."""
    picked, best, best_f1 = [], None, -1.0
    for _ in range(picks):
        f1 = [
            best_cuts((sum(opinions[i] for i in [*picked, member]) / (len(picked) + 1))[:, None], target[:, None]).f1[0]
            for member in range(len(opinions))
        ]
        picked.append(int(np.argmax(f1)))
        if max(f1) > best_f1:
            best, best_f1 = list(picked), max(f1)
    return np.bincount(best, minlength=len(opinions)) / len(best)


def test_label_weights_against_a_plain_loop():
    targets = random_targets(rows=200, labels=3)
    targets[:, 2] = False
    members = members_of(targets, [0.5, 0.8, 0.6])
    common = np.array([0.2, 0.3, 0.5])
    found = fit_label_weights(members, targets, common, 10.0)
    for label in range(2):
        trust = targets[:, label].sum() / (targets[:, label].sum() + 10)
        own = greedy_for_one_label(members[:, :, label].astype(np.float64), targets[:, label])
        np.testing.assert_allclose(found[:, label], trust * own + (1 - trust) * common)
    np.testing.assert_allclose(found[:, 2], common)
    np.testing.assert_allclose(found.sum(axis=0), 1)


def test_label_weights_let_each_label_trust_another_member():
    targets = random_targets(rows=2000, labels=2)
    members = members_of(targets, [0.3, 0.3])
    noise = np.random.default_rng(9).random(2000, dtype=np.float32)
    members[0, :, 1], members[1, :, 0] = noise, noise
    half = np.arange(2000) < 1000
    common = fit_weights(members[:, half], targets[half], 10.0)
    own = fit_label_weights(members[:, half], targets[half], common, 10.0)
    assert own[0, 0] > 0.75 < own[1, 1]
    scores = []
    for weights in (common, own):
        fused = arithmetic_mean(members, weights)
        cuts = best_cuts(fused[half], targets[half]).thresholds
        scores.append(label_scores(fused[~half] >= cuts, targets[~half]).f1.mean())
    assert scores[1] > scores[0] + 0.05


def test_a_blend_looks_at_its_hold_out_alone():
    targets = random_targets()
    members = members_of(targets, [1.5, 0.3, 1.5])
    held_out = np.arange(600) < 200
    weights = blend_weights(members, targets, held_out, 10.0)
    other = members.copy()
    other[:, ~held_out] = 0.5
    np.testing.assert_array_equal(weights, blend_weights(other, targets, held_out, 10.0))
    assert weights.argmax() == 1


def test_bagged_weights_are_the_mean_over_draws():
    targets = random_targets(rows=100)
    members = members_of(targets, [0.5, 0.6])
    asked = []

    def fit(opinions, wanted):
        asked.append((opinions, wanted))
        return weights_by_rank([opinion[wanted].mean() for opinion in opinions])

    found = bagged_weights(fit, members, targets, bags=7, seed=0)
    np.testing.assert_allclose(found, np.mean([fit(*drawn) for drawn in asked[:7]], axis=0))
    assert {len(wanted) for _, wanted in asked} == {100}
    assert found.sum() == pytest.approx(1)
    np.testing.assert_array_equal(found, bagged_weights(fit, members, targets, bags=7, seed=0))
