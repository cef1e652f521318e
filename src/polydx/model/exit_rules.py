"""When a row leaves: three rules, the work they save, and one knob over them.

A rule looks at a row's probabilities after each layer and at nothing else, so it may be set on rows without labels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import torch
from torch import Tensor

from polydx.names import ExitRuleName

KINDS: tuple[ExitRuleName, ...] = get_args(ExitRuleName)

_BISECTIONS = 30
"""Of [0, 1]: bars of early layers lie close together."""

_NEVER_DECIDED = 2.0
"""A threshold that no probability reaches; JSON knows no infinity."""


@dataclass(frozen=True)
class ExitRule:
    """When a row leaves.

    Attributes:
        kind: `entropy`: the answer is sure (FastBERT, DeeBERT); `patience`: the decided labels stayed the same (PABEE);
            `similarity`: the probabilities hardly changed (F-PABEE, made for many labels).
        bar: Highest mean entropy, or highest change between successive exits, in [0, 1]; unused by `patience`.
        patience: How often in a row the answer must have stayed; unused by `entropy`.
    """

    kind: ExitRuleName
    bar: float = 0.0
    patience: int = 1


NEVER = ExitRule("entropy", bar=-1.0)
"""Leaves at the last exit: all of the work."""


def normalised_entropy(probabilities: Tensor) -> Tensor:
    """Mean over labels of the entropy in bits, in [0, 1]: `[rows]` from `[rows, labels]`."""
    return _bits(probabilities).mean(dim=-1)


def change(probabilities: Tensor, before: Tensor) -> Tensor:
    """Mean over labels of the Jensen-Shannon divergence in bits, in [0, 1]: `[rows]` from two `[rows, labels]`."""
    middle = _bits((probabilities + before) / 2)
    return (middle - (_bits(probabilities) + _bits(before)) / 2).clamp_min(0.0).mean(dim=-1)


def update(
    rule: ExitRule, probabilities: Tensor, before: Tensor | None, streak: Tensor, cuts: Tensor
) -> tuple[Tensor, Tensor]:
    """Ask a rule after one layer.

    Args:
        rule: The rule.
        probabilities: `[rows, labels]` of this exit.
        before: Of the exit before; None after the first layer.
        streak: `[rows]`, int64, how often in a row the answer has stayed so far.
        cuts: `[labels]`, thresholds that decide labels.

    Returns:
        Which rows leave, `[rows]`, bool, and the new streak.
    """
    if rule.kind == "entropy":
        return normalised_entropy(probabilities) <= rule.bar, streak
    if before is None:
        return torch.zeros_like(streak, dtype=torch.bool), streak
    if rule.kind == "patience":
        same = ((probabilities >= cuts) == (before >= cuts)).all(dim=-1)
    else:
        same = change(probabilities, before) <= rule.bar
    streak = torch.where(same, streak + 1, 0)
    return streak >= rule.patience, streak


def leave(rule: ExitRule, probabilities: Tensor, cuts: Tensor) -> Tensor:
    """The exit that each row takes, `[rows]`, int64, from what all exits say, `[exits, rows, labels]`."""
    exits, rows, _ = probabilities.shape
    taken = torch.full((rows,), exits - 1)
    streak = torch.zeros(rows, dtype=torch.int64)
    for number in range(exits - 1):
        before = probabilities[number - 1] if number else None
        leaves, streak = update(rule, probabilities[number], before, streak, cuts)
        taken = torch.where(leaves & (taken == exits - 1), number, taken)
    return taken


def work_done(layers: int, tokens: Tensor, width: int, intermediate: int) -> Tensor:
    """Multiplications of rows that leave after each layer: `[rows, layers]`, float64, from `[rows]` tokens.

    The last layer is counted for the first token only, as it is run; embeddings and heads cost next to nothing.
    """
    tokens = tokens.double()
    projections, attention, forward = width * width, tokens * width, 2 * width * intermediate
    whole = tokens * (4 * projections + 2 * attention + forward)
    last = 2 * tokens * projections + 2 * projections + 2 * attention + forward
    return torch.stack([*[whole] * (layers - 1), last], dim=1).cumsum(1)


def work_shares(layers: int, tokens: int, width: int, intermediate: int) -> Tensor:
    """Share of a whole student's multiplications that are done on leaving after each layer: `[layers]`, the last 1."""
    done = work_done(layers, torch.tensor([tokens]), width, intermediate)[0]
    return done / done[-1]


def work_saved(taken: Tensor, done: Tensor) -> float:
    """Share of all multiplications that rows save by the exits `[rows]` that they take; `done` from `work_done`."""
    return float(1 - done.gather(1, taken[:, None]).sum() / done[:, -1].sum())


def share_saved(taken: Tensor, shares: Tensor) -> float:
    """Share of the work that rows of one length save by the exits `[rows]` they take; `shares` from `work_shares`."""
    return float(1 - shares[taken].mean())


def set_speed(kind: ExitRuleName, speed: float, probabilities: Tensor, cuts: Tensor, shares: Tensor) -> ExitRule:
    """The most careful rule of a kind that saves a given share of the work on the given rows.

    Args:
        kind: Which.
        speed: Share of the work to save, in [0, 1]: 0 leaves at the last exit.
        probabilities: `[exits, rows, labels]`, of rows like those to come; no labels are needed.
        cuts: `[labels]`, thresholds that decide labels.
        shares: `[exits]`, from `work_shares`.

    Returns:
        The rule. Where even the least careful one saves less (`patience` and `similarity` need two exits to compare),
        it is that one.
    """

    def saves(rule: ExitRule) -> bool:
        return share_saved(leave(rule, probabilities, cuts), shares) >= speed

    if kind == "patience":
        rules = [ExitRule(kind, patience=patience) for patience in range(len(shares), 0, -1)]
        return next((rule for rule in rules if saves(rule)), rules[-1])
    rule = ExitRule(kind, bar=-1.0)
    if saves(rule):
        return rule
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if saves(replace(rule, bar=middle)) else (middle, high)
    return replace(rule, bar=high)


def cuts_at_rates(probabilities: Tensor, rates: Sequence[float]) -> Tensor:
    """Thresholds from which on each label is decided as often as its rate: `[labels]` from `[rows, labels]`.

    Of k rows to decide, rounded, the threshold is the k-th highest probability: rows that tie with it are decided too.
    Where no row is to be decided, it is above every probability.
    """
    ranked = probabilities.sort(dim=0, descending=True).values
    counts = (torch.tensor(rates, dtype=torch.float64) * len(ranked)).round().long().clamp(0, len(ranked))
    cuts: Tensor = torch.cat([torch.full_like(ranked[:1], _NEVER_DECIDED), ranked]).gather(0, counts[None])[0]
    return cuts


def _bits(probabilities: Tensor) -> Tensor:
    """Entropy of each Bernoulli variable in bits."""
    nats: Tensor = torch.special.entr(probabilities) + torch.special.entr(1 - probabilities)
    return nats / math.log(2)
