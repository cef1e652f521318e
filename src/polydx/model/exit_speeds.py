"""The speed knob as it travels with a student: its rules' settings by the share of work to save."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from polydx.artifacts import read_json, write_json
from polydx.errors import SHIP_AGAIN, UserError
from polydx.model.exit_rules import KINDS, NEVER, ExitRule, cuts_at_rates, leave, set_speed, share_saved
from polydx.model.exits import EXITS_FILE
from polydx.names import ExitRuleName

SPEEDS_FILE = "exits.json"
SPEEDS = tuple(tenth / 10 for tenth in range(1, 9))
"""Shares of the work to save; beyond the last even the first exit of a student of six layers is too late."""


def speed_table(probabilities: Tensor, rates: Sequence[float], shares: Tensor) -> Mapping[str, object]:
    """Set every rule to every speed, on rows without labels.

    Args:
        probabilities: `[exits, rows, labels]`, of rows like those to come.
        rates: `[labels]`, how often each label is decided; the thresholds of the score aren't known yet.
        shares: `[exits]`, from `work_shares`.

    Returns:
        What `read_speed` reads: the cuts that decide labels, and by kind of rule and speed its settings and the share
        of the work that it really saves on these rows.
    """
    cuts = cuts_at_rates(probabilities[-1], rates)
    rules: dict[str, dict[str, object]] = {kind: {} for kind in KINDS}
    for kind in KINDS:
        for speed in SPEEDS:
            rule = set_speed(kind, speed, probabilities, cuts, shares)
            saves = share_saved(leave(rule, probabilities, cuts), shares)
            rules[kind][str(speed)] = {"bar": rule.bar, "patience": rule.patience, "saves": saves}
    return {"cuts": cuts.tolist(), "rules": rules}


def copy_exits(source: Path, target: Path) -> None:
    """Copy a student's exits and their settings, if it has any, into a folder whose model has the same states."""
    for name in (EXITS_FILE, SPEEDS_FILE):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def save_speeds(table: Mapping[str, object], folder: Path) -> None:
    """Write the settings beside a student's exits."""
    write_json(folder / SPEEDS_FILE, table)


class Speed(NamedTuple):
    """One rule at one speed.

    Attributes:
        rule: When a record leaves.
        cuts: `[labels]`, float32, thresholds that decide labels.
        saves: Share of the work that it saved on the rows that it was set on: less than was asked for where no setting
            saves as much.
    """

    rule: ExitRule
    cuts: Tensor
    saves: float


def read_speed(folder: Path, kind: ExitRuleName, speed: float) -> Speed:
    """Read one rule at one speed.

    Args:
        folder: The student's.
        kind: Which rule.
        speed: Share of the work to save: 0, or one of `SPEEDS`.

    Raises:
        UserError: The student has no exits, no settings for this speed, or damaged ones.
    """
    source = folder / SPEEDS_FILE
    if not source.is_file():
        fix = "train it with distil.exits, or name the student that this form was made of"
        raise UserError(str(folder), "is a student without early exits", fix)
    try:
        table = read_json(source)
        cuts = torch.tensor([float(cut) for cut in table["cuts"]])
        known = {float(share): _speed(kind, found, cuts) for share, found in table["rules"][kind].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        problem = f"holds no readable speeds ({type(error).__name__})"
        raise UserError(str(source), problem, SHIP_AGAIN) from error
    if speed == 0:
        return Speed(NEVER, cuts, 0.0)
    if speed not in known:
        raise UserError("speed", f"is {speed:g}", "choose one of " + ", ".join(f"{share:g}" for share in (0, *known)))
    return known[speed]


def _speed(kind: ExitRuleName, found: Mapping[str, float], cuts: Tensor) -> Speed:
    return Speed(ExitRule(kind, float(found["bar"]), int(found["patience"])), cuts, float(found["saves"]))
