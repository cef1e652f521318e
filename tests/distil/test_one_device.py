"""A step of distillation on tensors without numbers (`meta`), which raise where one of the processor is mixed in."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from polydx.distil.course import Course, new_task
from polydx.distil.lessons import LessonWeights
from polydx.model.classifier import TextClassifier
from polydx.names import ExitTraining
from small_models import SIZES, small_encoder

META = torch.device("meta")
ROWS, TOKENS, LABELS = 4, 7, 3
BATCH = {
    "input_ids": torch.ones(ROWS, TOKENS, dtype=torch.int64),
    "attention_mask": torch.ones(ROWS, TOKENS, dtype=torch.int64),
    "taught": torch.zeros(ROWS, LABELS),
    "targets": torch.zeros(ROWS, LABELS),
    "labelled": torch.ones(ROWS, dtype=torch.bool),
}
LESSONS = LessonWeights(**{field.name: 1.0 for field in fields(LessonWeights) if field.name != "value_direction"})
"""Value and direction ask once how large they are, which no tensor without numbers can tell."""


@pytest.mark.parametrize("exits", ["joint", "self", "mutual"])
def test_distillation_stays_on_its_device(exits: ExitTraining) -> None:
    course = Course(
        soft_weight=0.5,
        temperature=2.0,
        schedule="learned",
        end_temperature=1.0,
        rare_power=0.5,
        absent_weight=1.5,
        bounded_weight=1.0,
        bounded_margin=0.1,
        peer_weight=1.0,
        exits=exits,
        int8_share=0.0,
        lessons=LESSONS,
    )
    students = [BertForSequenceClassification(BertConfig(**SIZES, num_labels=LABELS)) for _ in range(2)]
    teacher = TextClassifier(small_encoder(num_hidden_layers=3), LABELS, "mean", 0.0)
    task = new_task(course, students, np.eye(LABELS, dtype=np.float32), teacher, (0, 2), META).to(META)
    loss = task({key: value.to(META) for key, value in BATCH.items()}, 0.5)
    loss.backward()
    assert loss.device == META
    assert task.model.classifier.weight.grad is not None
