import numpy as np
import pytest
from scipy.optimize import minimize

from polydx.ensemble.combination import combine, fit_combination


def by_quasi_newton(odds, targets, ridge, weights):
    """The same maximum, found by a method that knows no curvature."""
    columns = odds.shape[1]
    design = np.column_stack([odds, np.ones(len(odds))]).astype(np.float64)
    start = np.append(np.full(columns, 1 / columns), 0.0)
    penalty = np.append(np.full(columns, ridge), ridge / 100)

    def objective(coefficients):
        fitted, pull = design @ coefficients, coefficients - start
        loss = weights @ (np.logaddexp(0, fitted) - fitted * targets) + (penalty * pull**2).sum() / 2
        return loss, design.T @ (weights * (1 / (1 + np.exp(-fitted)) - targets)) + penalty * pull

    return minimize(objective, start, jac=True, method="BFGS", options={"gtol": 1e-8}).x


@pytest.mark.parametrize("rate", [-4.0, 0.0, 3.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_finds_the_maximum(rate, weighted):
    draw = np.random.default_rng(0)
    odds = draw.normal(scale=3.0, size=(2000, 3)).astype(np.float32)
    targets = draw.random(2000) < 1 / (1 + np.exp(-(odds @ [1.5, 0.5, -0.3] + rate)))
    weights = draw.choice([1.0, 7.5], 2000).astype(np.float32) if weighted else None
    found = fit_combination(odds, targets, 20.0, weights)
    expected = by_quasi_newton(odds, targets, 20.0, np.ones(2000) if weights is None else weights)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_combination_recovers_the_weights_behind_the_labels():
    draw = np.random.default_rng(0)
    odds = draw.normal(size=(40_000, 2)).astype(np.float32)
    chance = 1 / (1 + np.exp(-(odds @ [1.5, 0.5] - 1)))
    found = fit_combination(odds, draw.random(40_000) < chance, ridge=1.0)
    np.testing.assert_allclose(found, [1.5, 0.5, -1], atol=0.06)


def test_a_strong_ridge_leaves_the_plain_mean():
    odds = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    found = fit_combination(odds, odds[:, 0] > 0, ridge=1e7)
    np.testing.assert_allclose(combine(odds, found), odds.mean(axis=1), atol=0.01)


def test_the_combination_stays_finite_when_members_part_the_rows_or_no_row_is_positive():
    odds = np.array([[-13.8], [-13.8], [13.8], [13.8]], dtype=np.float32)
    for targets in ([False, False, True, True], [True, True, False, False], [False] * 4):
        found = fit_combination(np.tile(odds, (2000, 1)), np.tile(targets, 2000), ridge=20.0)
        assert np.abs(found).max() < 50
