"""What the exits of a trained student say of many rows, and the speeds that follow from it."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from polydx.artifacts import Floats
from polydx.distil.student import Student
from polydx.model.exit_rules import work_shares
from polydx.model.exit_running import all_exits
from polydx.model.exit_speeds import speed_table
from polydx.model.exits import Exits
from polydx.model.layers import body_of
from polydx.model.tokens import IntArray, TokenTable
from polydx.train.classification import predict_probabilities


def exit_probabilities(
    student: Student, exits: Exits, tokens: TokenTable, rows: IntArray, device: torch.device
) -> Tensor:
    """Probabilities of every exit in fp32, the student's own head last: `[exits, rows, labels]`, on the processor."""

    def score(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return all_exits(student, exits, input_ids, attention_mask).flatten(1)

    depth, labels = student.config.num_hidden_layers, student.classifier.out_features
    found = predict_probabilities(score, tokens, rows, depth * labels, device, bf16=False)
    return torch.from_numpy(found).view(-1, depth, labels).transpose(0, 1)


def work_of(student: Student, tokens: TokenTable, rows: IntArray) -> Tensor:
    """Share of the whole work on leaving after each layer, `[exits]`, for a row of median length."""
    config = body_of(student).config
    length = int(np.median(tokens.lengths[rows]))
    return work_shares(config.num_hidden_layers, length, config.hidden_size, config.intermediate_size)


def speeds_of(
    student: Student,
    exits: Exits,
    tokens: TokenTable,
    rows: IntArray,
    rates: Floats,
    device: torch.device,
) -> Mapping[str, object]:
    """The table that `save_speeds` writes, set on some rows; `rates` `[labels]`: how often each label is decided."""
    probabilities = exit_probabilities(student, exits, tokens, rows, device)
    return speed_table(probabilities, rates.tolist(), work_of(student, tokens, rows))
