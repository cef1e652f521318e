"""What the speeds of a student with early exits really save on given records."""

from pathlib import Path

import numpy as np
import torch

from polydx.deploy.student_model import EXIT_RULE, StudentModel
from polydx.distil.exit_answers import exit_probabilities
from polydx.model.exit_rules import leave, work_done, work_saved
from polydx.model.exit_speeds import SPEEDS, read_speed
from polydx.model.exits import EXITS_FILE, load_exits
from polydx.model.layers import body_of
from polydx.model.tokens import TokenTable

ALL_SPEEDS = (0.0, *SPEEDS)
"""From no work saved to the most."""


def has_exits(folder: Path) -> bool:
    """Whether a student's folder holds early exits."""
    return (folder / EXITS_FILE).is_file()


def savings(folder: Path, model: StudentModel, tokens: TokenTable) -> list[float]:
    """Share of all multiplications that each of `ALL_SPEEDS` saves on some records.

    Args:
        folder: The student's, with early exits.
        model: Its stock model, on the CPU.
        tokens: The records.
    """
    rows = np.arange(len(tokens.lengths))
    exits = load_exits(folder)
    probabilities = exit_probabilities(model, exits, tokens, rows, torch.device("cpu"))
    config = body_of(model).config
    lengths = torch.from_numpy(tokens.lengths)
    done = work_done(config.num_hidden_layers, lengths, config.hidden_size, config.intermediate_size)
    settings = (read_speed(folder, EXIT_RULE, speed) for speed in ALL_SPEEDS)
    return [work_saved(leave(rule, probabilities, cuts), done) for rule, cuts, _ in settings]
