"""The speed knob as it travels with a student: its rules' settings by the share of work to save."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from polydx.artifacts import read_json, write_json
from polydx.errors import UserError
from polydx.model.exit_rules import KINDS, NEVER, ExitRule, cuts_at_rates, set_speed
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
        What `read_speed` reads: the cuts that decide labels, and each rule's settings by speed.
    """
    cuts = cuts_at_rates(probabilities[-1], rates)
    rules = {
        kind: {str(speed): asdict(set_speed(kind, speed, probabilities, cuts, shares)) for speed in SPEEDS}
        for kind in KINDS
    }
    return {"cuts": cuts.tolist(), "rules": rules}


def copy_exits(source: Path, target: Path) -> None:
    """Copy a student's exits and their settings, if it has any, into a folder whose model has the same states."""
    for name in (EXITS_FILE, SPEEDS_FILE):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def save_speeds(table: Mapping[str, object], folder: Path) -> None:
    """Write the settings beside a student's exits."""
    write_json(folder / SPEEDS_FILE, table)


def read_speed(folder: Path, kind: ExitRuleName, speed: float) -> tuple[ExitRule, Tensor]:
    """Read one rule at one speed, and the cuts `[labels]` that decide labels.

    Args:
        folder: The student's.
        kind: Which rule.
        speed: Share of the work to save: 0, or one of `SPEEDS`.

    Raises:
        UserError: The student has no exits, or no settings for this speed.
    """
    if not (folder / SPEEDS_FILE).is_file():
        fix = "train it with distil.exits, or name the student that this form was made of"
        raise UserError(str(folder), "is a student without early exits", fix)
    table = read_json(folder / SPEEDS_FILE)
    rules = {0.0: NEVER} | {float(share): ExitRule(**rule) for share, rule in table["rules"][kind].items()}
    if speed not in rules:
        raise UserError("speed", f"is {speed:g}", "choose one of " + ", ".join(f"{share:g}" for share in rules))
    return rules[speed], torch.tensor(table["cuts"])
