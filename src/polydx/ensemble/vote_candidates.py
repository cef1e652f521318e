"""Hard voting as candidates: every input decides at its own thresholds, fitted outside the hidden folds, then votes."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from polydx.artifacts import Floats
from polydx.ensemble.candidates import Candidate, Inputs, fusing
from polydx.ensemble.fold_predictions import fold_vote
from polydx.ensemble.fusion import Weights
from polydx.ensemble.thresholds import shrunk_thresholds
from polydx.ensemble.voting import vote_shares
from polydx.judge.metrics import Mask, Scores
from polydx.judge.nested import NOTHING_HIDDEN, Hidden

ThresholdsFit = Callable[[Hidden], list[Scores]]
"""Thresholds `[labels]` of each input by a fit on the rows outside the hidden folds."""


def own_thresholds(inputs: Inputs, prior: float) -> ThresholdsFit:
    """Each input's own thresholds by `shrunk_thresholds`, each fit kept."""
    return inputs.fitted(lambda members, targets: [shrunk_thresholds(member, targets, prior) for member in members])


def vote(inputs: Inputs, thresholds: ThresholdsFit, weights: Callable[[Hidden], Weights] | None = None) -> Candidate:
    """The share of the votes, or of their weight, that say yes; how large it must be is fitted like any threshold."""

    def count(hidden: Hidden, members: Floats) -> Floats:
        return vote_shares(_ballots(members, thresholds(hidden)), None if weights is None else weights(hidden))

    if weights is None:
        return fusing(inputs, count)
    return fusing(inputs, count, lambda: inputs.by_name(weights(NOTHING_HIDDEN)))


def settled_vote(inputs: Inputs, thresholds: ThresholdsFit, settle: Callable[[Mask], Mask]) -> Candidate:
    """What `absolute_majority` or `plurality` answers, as 0 and 1.

    Nothing is left for a fitted threshold but to follow the vote or, where that scores better, to name a label always.
    Of a test row the fold models' answers are voted on in turn: their mean would leave it to the threshold, which may
    stand anywhere between 0 and 1, how many of them have to agree.

    Records with fewer labels than they must have get the first ones: a vote that is settled ranks nothing.
    """

    def answer(hidden: Hidden, members: Floats) -> Floats:
        return settle(_ballots(members, thresholds(hidden))).astype(np.float32)

    return replace(fusing(inputs, answer), test=lambda: fold_vote(answer(NOTHING_HIDDEN, inputs.test))[np.newaxis])


def _ballots(members: Floats, thresholds: list[Scores]) -> Mask:
    return np.stack([member >= cuts for member, cuts in zip(members, thresholds, strict=True)])
