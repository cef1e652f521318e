"""A smaller form ships only within the bound, and is scored by thresholds that never saw the row."""

import numpy as np
import pytest

from polydx.deploy.shipping import cross_fitted_f1, judge_forms, verdict
from polydx.ensemble.thresholds import DecisionRule
from polydx.judge.metrics import label_scores

RULE = DecisionRule(prior=5.0, min_labels=0, max_labels=3, method="shrunk")


@pytest.mark.parametrize(("score", "ships"), [(0.9, True), (0.75, True), (0.745, True), (0.7449, False), (0.0, False)])
def test_the_bound_decides_and_the_refusal_says_why(score: float, ships: bool) -> None:
    found = verdict("int8", 0.75, score, 0.005 + 1e-12)
    assert found.ships is ships
    assert found.drop == pytest.approx(0.75 - score)
    assert found.reason.startswith("refused: ") is not ships
    assert f"{score:.4f} against 0.7500" in found.reason


def outcome(noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(1)
    targets = draw.random((120, 3)) < 0.3
    probabilities = 1 / (1 + np.exp(-(3 * targets - 2 + noise * draw.standard_normal(targets.shape))))
    return probabilities.astype(np.float32), targets, draw.integers(0, 4, 120)


def test_scores_are_cross_fitted() -> None:
    probabilities, targets, folds = outcome(2.0)
    decided = np.zeros_like(targets)
    for row in range(len(targets)):
        others = folds != folds[row]
        cuts = RULE.fit(probabilities[others], targets[others])
        decided[row] = RULE.decide(probabilities[row : row + 1], cuts)[0]
    expected = label_scores(decided, targets).f1.mean()
    assert cross_fitted_f1(probabilities, targets, folds, RULE) == pytest.approx(expected)


def test_a_spoilt_form_is_refused_and_an_equal_one_ships() -> None:
    student, targets, folds = outcome(1.0)
    spoilt = np.random.default_rng(2).random(student.shape).astype(np.float32)
    equal, refused = judge_forms(student, {"vocabulary": student.copy(), "int8": spoilt}, targets, folds, RULE, 0.005)
    assert (equal.form, equal.drop, equal.ships) == ("vocabulary", 0.0, True)
    assert (refused.form, refused.ships) == ("int8", False)
    assert "beyond the bound of 0.005" in refused.reason
