"""Running a student with early exits: rows leave the batch, and only those that stay cost another layer."""

from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from polydx.model.exit_rules import ExitRule, update
from polydx.model.exits import Exits
from polydx.model.layers import (
    body_of,
    classify_first,
    embed,
    key_mask,
    layers_of,
    run_layer,
    run_layer_for_first,
    trace,
)


class Left(NamedTuple):
    """How rows left.

    Attributes:
        logits: `[batch, labels]`, float32, of the exit that each row took.
        exits: `[batch]`, int64, its number from 0; the last is the student's own head.
    """

    logits: Tensor
    exits: Tensor


@torch.inference_mode()
def run_with_exits(
    model: PreTrainedModel, exits: Exits, input_ids: Tensor, attention_mask: Tensor, rule: ExitRule, cuts: Tensor
) -> Left:
    """Score a batch, letting rows leave.

    A row's answer depends on itself alone, not on what it shares a batch with.

    Args:
        model: A student, in evaluation mode.
        exits: Its early exits.
        input_ids: `[batch, tokens]`, int64.
        attention_mask: `[batch, tokens]`, int64, 1 for real tokens, which stand before the others.
        rule: When a row leaves.
        cuts: `[labels]`, thresholds that decide labels, which `patience` looks at.
    """
    base = body_of(model)
    *below, last = layers_of(base)
    hidden, mask = embed(base, input_ids), attention_mask
    cuts = cuts.to(input_ids.device)
    places = torch.arange(len(input_ids), device=input_ids.device)
    logits = torch.zeros(len(input_ids), len(cuts), device=input_ids.device)
    taken = torch.full_like(places, len(below))
    streak, before = torch.zeros_like(places), None
    for number, (layer, head) in enumerate(zip(below, exits.heads, strict=True)):
        hidden = run_layer(layer, hidden, key_mask(mask)).hidden
        found = head(hidden.float(), mask).float()
        probabilities = found.sigmoid()
        leaves, streak = update(rule, probabilities, before, streak, cuts)
        logits[places[leaves]], taken[places[leaves]] = found[leaves], number
        stays = ~leaves
        places, streak, before = places[stays], streak[stays], probabilities[stays]
        if not len(places):
            return Left(logits, taken)
        # What is left may be shorter.
        longest = int(mask[stays].sum(1).max())
        hidden, mask = hidden[stays, :longest], mask[stays, :longest]
    logits[places] = classify_first(model, run_layer_for_first(last, hidden, key_mask(mask))).float()
    return Left(logits, taken)


def all_exits(model: PreTrainedModel, exits: Exits, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """What every exit says, the student's own head last: logits `[batch, exits, labels]`, float32."""
    layers = trace(body_of(model), input_ids, attention_mask).layers
    early = exits([layer.hidden for layer in layers[:-1]], attention_mask)
    return torch.stack([*early, classify_first(model, layers[-1].hidden[:, 0]).float()], dim=1)
