import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaln, logsumexp

from polydx.ensemble import runs as runs_module
from polydx.ensemble.runs import Runs, find_runs


def exported(lengths, draw, seen=0.7):
    """Records numbered diagnosis by diagnosis: run r holds label r for certain; a share of them is labelled."""
    department = np.repeat(np.arange(len(lengths)), lengths)
    targets = draw.random((len(department), len(lengths))) < 0.05
    targets[np.arange(len(department)), department] = True
    labelled = draw.random(len(department)) < seen
    return np.arange(len(department), dtype=float), targets, department, labelled


def test_the_runs_of_an_export_are_found():
    lengths = [30, 80, 12, 45, 60]
    numbers, targets, department, labelled = exported(lengths, np.random.default_rng(0))
    found = find_runs(numbers[labelled], targets[labelled])
    likeliest = [places[np.argmax(chances)] for places, chances in zip(found.places, found.chances, strict=True)]
    assert found.rates.shape == (5, 5)
    assert np.abs(np.array(likeliest) - np.cumsum(lengths)[:-1]).max() <= 3
    rates = found.rates_at(numbers[~labelled])
    assert rates.dtype == np.float32 and rates.min() >= 0 and rates.max() <= 1
    assert (rates.argmax(axis=1) == department[~labelled]).mean() > 0.95


def test_an_order_without_information_is_one_run():
    draw = np.random.default_rng(1)
    targets = draw.random((400, 6)) < 0.2
    found = find_runs(np.arange(400.0), targets)
    assert found.places == () and found.rates.shape == (1, 6)
    np.testing.assert_allclose(found.rates_at(np.array([-5.0, 7.5])), np.repeat(found.rates, 2, axis=0), rtol=1e-6)


def test_a_quota_tells_where_runs_start():
    """Of runs with one length, the gaps that hide the starts shrink to their common offset."""
    numbers, targets, _, labelled = exported([40] * 8, np.random.default_rng(2), seen=0.5)
    found = find_runs(numbers[labelled], targets[labelled])
    likeliest = [places[np.argmax(chances)] for places, chances in zip(found.places, found.chances, strict=True)]
    assert likeliest == [40.0 * run for run in range(1, 8)]
    assert min(chances.max() for chances in found.chances) > 0.6
    gaps = np.diff(numbers[labelled])[np.searchsorted(numbers[labelled], likeliest) - 1]
    assert gaps.max() >= 3


def test_lengths_of_their_own_leave_the_gap_open():
    """Leave one out: a run's own length is no evidence for itself, so a place is as likely as its gap is wide."""
    targets = np.zeros((60, 2), dtype=bool)
    targets[:30, 0] = targets[30:, 1] = True
    numbers = np.concatenate([np.arange(30.0), np.arange(35.0, 65.0)])
    found = find_runs(numbers, targets)
    assert len(found.places) == 1
    in_gap = (found.places[0] >= 30) & (found.places[0] <= 35)
    np.testing.assert_array_equal(found.places[0][in_gap], [30, 31, 32, 33, 34, 35])
    np.testing.assert_allclose(found.chances[0][in_gap], 1 / 6, atol=0.01)


def test_numbers_far_apart_take_no_more_memory():
    """Millions of lengths lie between the starts of such runs, and each run has but a few hundred of them."""
    draw = np.random.default_rng(4)
    numbers = np.unique(draw.integers(0, 10**12, 2000)).astype(float)
    targets = np.arange(len(numbers))[:, None] // 50 % 8 == np.arange(8)
    tracemalloc.start()
    found = find_runs(numbers, targets ^ (draw.random(targets.shape) < 0.02))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.places) > 30
    assert peak < 250e6


def test_evidence_against_beta_functions():
    targets = np.random.default_rng(3).random((20, 3)) < [0.5, 0.1, 0.0]
    evidence = runs_module._Evidence(targets)
    breadth = runs_module._BREADTH
    for first, last in [(0, 20), (3, 4), (5, 17)]:
        expected = 0.0
        for label in range(3):
            held = breadth * (targets[:, label].sum() + 0.5) / 21
            lacking, count = breadth - held, targets[first:last, label].sum()
            expected += betaln(held + count, lacking + last - first - count) - betaln(held, lacking)
        assert evidence.of(np.array([first]), np.array([last]))[0] == pytest.approx(expected, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_chain_posteriors_against_all_combinations(seed, sizes):
    draw = np.random.default_rng(seed)
    fits = [draw.normal(size=size) for size in sizes]
    links = [draw.normal(size=shape) for shape in itertools.pairwise(sizes)]
    single, pairs = runs_module._forward_backward(fits, links)
    weights = {}
    for chosen in itertools.product(*map(range, sizes)):
        weight = sum(fit[place] for fit, place in zip(fits, chosen, strict=True))
        weights[chosen] = weight + sum(link[chosen[i], chosen[i + 1]] for i, link in enumerate(links))
    total = logsumexp(list(weights.values()))
    for run, place in [(run, place) for run, size in enumerate(sizes) for place in range(size)]:
        expected = sum(np.exp(weight - total) for chosen, weight in weights.items() if chosen[run] == place)
        assert single[run][place] == pytest.approx(expected, abs=1e-9)
    for run, pair in enumerate(pairs):
        np.testing.assert_allclose(pair.sum(axis=1), single[run], atol=1e-9)
        np.testing.assert_allclose(pair.sum(axis=0), single[run + 1], atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31))
def test_expected_rates_against_a_plain_sum_over_runs(seed):
    draw = np.random.default_rng(seed)
    places = [np.sort(draw.choice(np.arange(10 * run, 10 * run + 14), 3, replace=False)) * 1.0 for run in range(3)]
    chances = [np.array([0.2, 0.5, 0.3]), np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.4, 0.6])]
    found = Runs(tuple(places), tuple(chances), draw.random((4, 2)))
    numbers = draw.permutation(np.arange(-3.0, 45.0, 0.5))
    rates = found.rates_at(numbers)
    for row, number in enumerate(numbers):
        begun = [chance[place <= number].sum() for place, chance in zip(places, chances, strict=True)]
        inside = -np.diff([1.0, *begun, 0.0])
        np.testing.assert_allclose(rates[row], np.clip(inside @ found.rates, 0, 1), atol=1e-6)
