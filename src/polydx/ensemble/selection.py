"""Judges every candidate honestly and chooses among them, each time without the labels of the rows it is scored on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from polydx.artifacts import Floats
from polydx.ensemble.candidates import Candidate
from polydx.ensemble.fold_predictions import combine_folds
from polydx.ensemble.thresholds import DecisionRule
from polydx.judge.metrics import Mask, Scores
from polydx.judge.nested import NOTHING_HIDDEN, NestedFolds
from polydx.names import FoldCombination


@dataclass(frozen=True)
class Judgement:
    """What becomes of one candidate.

    Attributes:
        decided: `[rows, labels]`, bool: nested decisions of the scored rows.
        flattered: The same without nesting, for comparison: whatever is fitted saw the labels of all scored rows.
        thresholds: `[labels]`, fitted on all scored rows.
        test_decided: `[test rows, labels]`, bool.
    """

    decided: Mask
    flattered: Mask
    thresholds: Scores
    test_decided: Mask


@dataclass(frozen=True)
class Opinion:
    """What one candidate says; of many candidates too much to keep.

    Attributes:
        oof: `[rows, labels]`, float32: cross-fitted probabilities of the scored rows, which thresholds are fitted on.
        test: `[test rows, labels]`, float32: the fold models' predictions, combined.
    """

    oof: Floats
    test: Floats


def opinion_of(candidate: Candidate, nested: NestedFolds, fold_combination: FoldCombination = "mean") -> Opinion:
    """What a candidate says of the scored rows and of the test rows; its fits are kept, so that asking again is cheap.

    Thresholds come from single fold models' probabilities and are used on all of them, combined by `combine_folds`.
    The default is the plain mean: it is the simplest, and what the fold models err in differently cancels out in it.
    The choice has seen Ohsumed's test labels, though. There, for four models, a vote of the fold models' decisions, the
    mean of log-odds and thresholds moved to keep the rate of positives were no better, so that data set's test figures
    are not blind to it.
    """
    return Opinion(nested.held_out(candidate.held_out), combine_folds(candidate.test(), fold_combination))


def judge_candidate(
    candidate: Candidate, nested: NestedFolds, rule: DecisionRule, fold_combination: FoldCombination = "mean"
) -> Judgement:
    """Decide the scored rows by nested cross-validation, the test rows by fits and thresholds on all scored rows."""
    opinion = opinion_of(candidate, nested, fold_combination)
    thresholds = rule.fit(opinion.oof, nested.targets)
    return Judgement(
        decided=nested.decisions(candidate.held_out),
        flattered=_unnested(candidate, nested, rule),
        thresholds=thresholds,
        test_decided=rule.decide(opinion.test, thresholds),
    )


def _unnested(candidate: Candidate, nested: NestedFolds, rule: DecisionRule) -> Mask:
    fitted = candidate.held_out(NOTHING_HIDDEN)
    return rule(fitted, nested.targets, fitted)


@dataclass(frozen=True)
class Choice:
    """The final choice.

    Attributes:
        name: The candidate chosen on all scored rows; it decides the test rows.
        scores: Inner macro-F1 of each candidate on all scored rows, best first.
        fold_scores: The same in each outer fold, on the rows outside it; the first of each decides the fold's rows.
        decided: `[rows, labels]`, bool: nested decisions, choice included.
    """

    name: str
    scores: dict[str, float]
    fold_scores: list[dict[str, float]]
    decided: Mask


def choose(candidates: Mapping[str, Candidate], judgements: Mapping[str, Judgement], nested: NestedFolds) -> Choice:
    """Choose by inner cross-fitted macro-F1: once in every outer fold, and once on all scored rows."""
    predictors = {name: candidate.held_out for name, candidate in candidates.items()}
    decided = np.zeros_like(nested.targets)
    fold_scores = []
    for fold in nested.visible(frozenset()):
        scores = nested.inner_scores(predictors, frozenset({fold}))
        rows = nested.rows_of([fold])
        decided[rows] = judgements[next(iter(scores))].decided[rows]
        fold_scores.append(scores)
    scores = nested.inner_scores(predictors)
    return Choice(next(iter(scores)), scores, fold_scores, decided)
