import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, fbeta_score, precision_recall_fscore_support, precision_score, recall_score

from polydx.judge.metrics import (
    best_constant_prediction_f1,
    label_scores,
    macro_f1,
    macro_f1_present,
    micro_f1,
    samples_f1,
    summary,
)


@st.composite
def decided_and_targets(draw):
    seed, rows, labels = draw(st.integers(0, 2**31)), draw(st.integers(1, 30)), draw(st.integers(2, 6))
    generator = np.random.default_rng(seed)
    rates = generator.choice([0.0, 0.2, 0.7, 1.0], labels)
    return generator.random((rows, labels)) < rates, generator.random((rows, labels)) < generator.permutation(rates)


@settings(max_examples=80, deadline=None)
@given(decided_and_targets())
def test_scores_are_scikit_learns(arrays):
    decided, targets = arrays
    for score, average in [(macro_f1, "macro"), (micro_f1, "micro"), (samples_f1, "samples")]:
        assert score(decided, targets) == pytest.approx(f1_score(targets, decided, average=average, zero_division=0))
    precision, recall, f1, support = precision_recall_fscore_support(targets, decided, average=None, zero_division=0)
    found = label_scores(decided, targets)
    np.testing.assert_allclose(found.precision, precision)
    np.testing.assert_allclose(found.recall, recall)
    np.testing.assert_allclose(found.f1, f1)
    np.testing.assert_array_equal(found.true_positives + found.false_negatives, support)
    for beta in (0.5, 1.0, 2.0):
        np.testing.assert_allclose(
            found.f_beta(beta), fbeta_score(targets, decided, beta=beta, average=None, zero_division=0)
        )
    present = np.flatnonzero(targets.any(axis=0))
    expected = f1_score(targets, decided, labels=present, average="macro", zero_division=0) if len(present) else 0
    assert macro_f1_present(decided, targets) == pytest.approx(expected)


@settings(max_examples=20, deadline=None)
@given(decided_and_targets())
def test_the_summary_holds_every_score(arrays):
    decided, targets = arrays
    peers = {
        "macro_precision": precision_score(targets, decided, average="macro", zero_division=0),
        "macro_recall": recall_score(targets, decided, average="macro", zero_division=0),
        "macro_f2": fbeta_score(targets, decided, beta=2.0, average="macro", zero_division=0),
        "macro_f1": macro_f1(decided, targets),
        "macro_f1_present": macro_f1_present(decided, targets),
        "micro_f1": micro_f1(decided, targets),
        "samples_f1": samples_f1(decided, targets),
    }
    assert summary(decided, targets) == pytest.approx(peers)


def test_by_hand():
    targets = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], dtype=bool)
    decided = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]], dtype=bool)
    assert label_scores(decided, targets).f1.tolist() == [0.5, 1.0, 0.0]
    assert macro_f1(decided, targets) == 0.5
    assert macro_f1_present(decided, targets) == 0.75
    assert micro_f1(decided, targets) == 0.75
    assert samples_f1(decided, targets) == pytest.approx((1 + 2 / 3 + 2 / 3 + 0) / 4)


def test_the_best_constant_prediction_is_every_label():
    targets = np.random.default_rng(0).random((500, 4)) < [0.5, 0.1, 0.01, 0.0]
    prevalence = targets.mean(axis=0)
    assert best_constant_prediction_f1(targets) == pytest.approx((2 * prevalence / (1 + prevalence)).mean())


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match="shape"):
        macro_f1(np.ones((3, 2), dtype=bool), np.ones((2, 2), dtype=bool))
