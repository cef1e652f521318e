"""Weights of the members: by rank, or fitted for macro-F1 for all labels at once or label by label."""

from collections.abc import Callable, Sequence

import numpy as np

from polydx.artifacts import Floats
from polydx.ensemble.cuts import best_cuts
from polydx.ensemble.fusion import Weights, arithmetic_mean, power_mean
from polydx.ensemble.thresholds import shrunk_thresholds
from polydx.judge.metrics import Mask, macro_f1

_PICKS = 12
_EXPONENTS = (0.5, 2.0, 4.0)
"""From the least sure member's side to the surest one's; 1 would be the plain mean, and towards 0 the geometric one."""


def weights_by_rank(scores: Sequence[float], kept: int = 3) -> Weights:
    """Weights for the best members alone, in proportion to their place: 3/6, 2/6, 1/6 for three.

    Args:
        scores: One a member, higher is better; of equals the one that comes first is the better.
        kept: Members with a weight; all of them if they are fewer.

    Returns:
        `[members]`.
    """
    weights = np.zeros(len(scores))
    best = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")[:kept]
    weights[best] = np.arange(len(best), 0, -1)
    by_rank: Weights = weights / weights.sum()
    return by_rank


def fit_weights(members: Floats, targets: Mask, prior: float) -> Weights:
    """Weights by ensemble selection (Caruana 2004): members are picked one by one, again and again, for macro-F1.

    Each pick is the member that lifts the macro-F1 of the mean of all picks most, at its own best thresholds; the
    weights are the shares of the picks at the best moment. It suits members whose probabilities are not calibrated
    alike, where likelihood would reward the calibrated one, not the one that ranks well.

    Args:
        members: `[members, rows, labels]`, float32, out of fold.
        targets: `[rows, labels]`, bool.
        prior: Shrinkage of the thresholds, as in `shrunk_thresholds`.

    Returns:
        `[members]`, float64, non-negative, summing to one.
    """
    picks = np.zeros(len(members))
    best_picks, best_score = picks, -1.0
    for _ in range(_PICKS):
        scores = []
        for member in range(len(members)):
            tried = picks + np.eye(len(members))[member]
            fused = arithmetic_mean(members, tried / tried.sum())
            scores.append(macro_f1(fused >= shrunk_thresholds(fused, targets, prior), targets))
        picks = picks + np.eye(len(members))[int(np.argmax(scores))]
        if max(scores) > best_score:
            best_picks, best_score = picks, max(scores)
    weights: Weights = best_picks / best_picks.sum()
    return weights


def fit_exponent(members: Floats, targets: Mask, prior: float) -> float:
    """The exponent of the power mean with the highest macro-F1 at its own thresholds; arguments as in `fit_weights`."""
    scores = {}
    for exponent in _EXPONENTS:
        fused = power_mean(members, exponent)
        scores[exponent] = macro_f1(fused >= shrunk_thresholds(fused, targets, prior), targets)
    return max(scores, key=scores.__getitem__)


def fit_label_weights(members: Floats, targets: Mask, common: Weights, prior: float) -> Weights:
    """Weights of each label by ensemble selection for its own F1, pulled towards the labels' common ones.

    As in `fit_weights`, but every label picks for itself, by the F1 at its exact best threshold, and all labels pick
    at once. What few positives say of a member is mostly luck.

    Args:
        members: `[members, rows, labels]`, float32, out of fold.
        targets: `[rows, labels]`, bool.
        common: `[members]`, weights for all labels.
        prior: Positives' worth of pull; a label without a positive takes the common weights.

    Returns:
        `[members, labels]`, float64, non-negative, summing to one over the members.
    """
    count, labels = len(members), targets.shape[1]
    totals = np.zeros(members.shape[1:], dtype=np.float32)
    picks, best_picks, best_f1 = np.zeros((count, labels)), np.zeros((count, labels)), np.full(labels, -1.0)
    for pick in range(1, _PICKS + 1):
        # Sums are rounded, so that a mean of certainties may exceed 1 by an ulp.
        f1 = np.stack([best_cuts((totals + member) / pick, targets, largest=2.0).f1 for member in members])
        chosen = np.argmax(f1, axis=0)
        picks[chosen, np.arange(labels)] += 1
        totals += np.take_along_axis(members, chosen[None, None, :], axis=0)[0]
        better = f1.max(axis=0) > best_f1
        best_picks[:, better], best_f1[better] = picks[:, better], f1.max(axis=0)[better]
    positives = targets.sum(axis=0)
    trust = np.divide(positives, positives + prior, out=np.zeros(labels), where=positives > 0)
    weights: Weights = trust * best_picks / best_picks.sum(axis=0) + (1 - trust) * common[:, None]
    return weights


def blend_weights(members: Floats, targets: Mask, held_out: Mask, prior: float) -> Weights:
    """Weights of a blend: fitted on a hold-out's rows alone, as where members have no other out-of-fold rows.

    Args:
        members: `[members, rows, labels]`, float32; honest in the hold-out's rows, and not looked at elsewhere.
        targets: `[rows, labels]`, bool.
        held_out: `[rows]`, bool.
        prior: As in `fit_weights`.

    Returns:
        `[members]`.
    """
    return fit_weights(members[:, held_out], targets[held_out], prior)


def bagged_weights(
    fit: Callable[[Floats, Mask], Weights], members: Floats, targets: Mask, *, bags: int, seed: int
) -> Weights:
    """Mean of the weights that a fit finds on records drawn again with replacement: it steadies a greedy choice.

    Args:
        fit: Finds weights from members `[members, rows, labels]` and targets `[rows, labels]`.
        members: `[members, rows, labels]`, float32, out of fold.
        targets: `[rows, labels]`, bool.
        bags: Draws.
        seed: Their seed.

    Returns:
        As `fit`.
    """
    draw = np.random.default_rng(seed)
    drawn = [draw.integers(0, len(targets), len(targets)) for _ in range(bags)]
    bagged: Weights = np.mean([fit(members[:, rows], targets[rows]) for rows in drawn], axis=0)
    return bagged
