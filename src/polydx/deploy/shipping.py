"""Which smaller form of a student ships: one whose honest score falls by no more than a bound."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.ensemble.thresholds import DecisionRule
from polydx.judge.metrics import Mask, macro_f1
from polydx.judge.nested import cross_fitted_decisions


@dataclass(frozen=True)
class Verdict:
    """What became of one form.

    Attributes:
        form: Its name.
        macro_f1: Its cross-fitted out-of-fold score.
        drop: The student's own score less this one; negative where the form is better.
        ships: Whether it is good enough.
        reason: Why or why not, in words.
    """

    form: str
    macro_f1: float
    drop: float
    ships: bool
    reason: str


def judge_forms(
    student: Floats,
    forms: Mapping[str, Floats],
    targets: Mask,
    fold_of_row: npt.NDArray[np.int64],
    rule: DecisionRule,
    max_drop: float,
) -> list[Verdict]:
    """Score every form as the student itself is scored, and say which ones ship.

    Every form gets thresholds of its own, here and where it ships: pruning and int8 push some labels' probabilities to
    one side, which the student's thresholds would count as errors and refitted ones take back, at no cost to who uses
    the form. Here a row is decided by those fitted on the other folds' rows; what ships has `rule.fit` of all of them,
    as the student itself has.

    Args:
        student: `[rows, labels]`, out-of-fold probabilities of the fold students, in fp32 and whole.
        forms: The same of each form: fold f's students made smaller, with nothing of fold f's rows.
        targets: `[rows, labels]`.
        fold_of_row: `[rows]`.
        rule: How thresholds are fitted and turned into decisions.
        max_drop: Largest fall of macro-F1 that is worth a smaller form, as a share of 1.
    """
    reference = cross_fitted_f1(student, targets, fold_of_row, rule)
    found = {form: cross_fitted_f1(probabilities, targets, fold_of_row, rule) for form, probabilities in forms.items()}
    return [verdict(form, reference, score, max_drop) for form, score in found.items()]


def verdict(form: str, reference: float, score: float, max_drop: float) -> Verdict:
    """Compare a form's score with the student's own."""
    drop = reference - score
    ships = drop <= max_drop
    within = "within" if ships else "beyond"
    reason = f"macro-F1 {score:.4f} against {reference:.4f}: a drop of {drop:.4f}, {within} the bound of {max_drop}"
    return Verdict(form, score, drop, ships, reason if ships else f"refused: {reason}")


def cross_fitted_f1(
    probabilities: Floats, targets: Mask, fold_of_row: npt.NDArray[np.int64], rule: DecisionRule
) -> float:
    """Macro-F1 of out-of-fold probabilities, each fold decided by thresholds fitted on the others."""
    return macro_f1(cross_fitted_decisions(probabilities, targets, fold_of_row, rule), targets)
