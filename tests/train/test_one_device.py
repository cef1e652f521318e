"""A step on tensors without numbers (`meta`), at which an operation that mixes in a tensor of the processor raises."""

from typing import get_args

import numpy as np
import pytest
import torch

from polydx.model.classifier import Design, TextClassifier
from polydx.model.frozen import run_below
from polydx.names import Pooling
from polydx.train.classification import ClassificationTask
from polydx.train.losses.objective import LossName, LossShapes, Objective
from small_models import small_encoder

META = torch.device("meta")
ROWS, TOKENS, LABELS, FEATURES = 4, 7, 3, 2


def batch() -> dict[str, torch.Tensor]:
    return {
        "input_ids": torch.ones(ROWS, TOKENS, dtype=torch.int64),
        "attention_mask": torch.ones(ROWS, TOKENS, dtype=torch.int64),
        "targets": torch.zeros(ROWS, LABELS),
        "pseudo": torch.zeros(ROWS, dtype=torch.bool),
        "side": torch.zeros(ROWS, FEATURES),
    }


def new_task(pooling: Pooling) -> ClassificationTask:
    """With every loss, and numbers beside the text."""
    model = TextClassifier(small_encoder(), LABELS, pooling, 0.1, Design(side_features=FEATURES))
    shapes = LossShapes(class_weight_power=0.5, logit_adjustment=1.0)
    weights: dict[LossName, float] = dict.fromkeys(get_args(LossName), 1.0)
    objective = Objective(weights, {}, (0.3, 0.6), np.eye(LABELS, dtype=np.float32), shapes)
    return ClassificationTask(model, objective, lambda progress: progress)


@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_fine_tuning_stays_on_its_device(pooling: Pooling) -> None:
    task = new_task(pooling).to(META)
    moved = {key: value.to(META) for key, value in batch().items()}
    # The library asks whether anything is padded, which no tensor without numbers can tell.
    moved["lower"] = run_below(task.model.encoder, 1, moved["input_ids"], moved["attention_mask"])
    task.model.frozen_layers = 1
    loss = task(moved, 0.5)
    loss.backward()
    assert loss.device == META
    assert all(each.grad is not None for each in task.model.get_submodule("encoder.encoder.layer.1").parameters())


def test_a_tensor_of_the_processor_is_noticed() -> None:
    task = new_task("mean").to(META)
    task.objective.positives = task.objective.positives.new_zeros(LABELS, device="cpu")
    with pytest.raises(RuntimeError, match="device"):
        task.objective(
            torch.zeros(ROWS, LABELS, device=META),
            torch.zeros(ROWS, LABELS, device=META),
            torch.ones(ROWS, device=META),
            0.5,
        )
