"""The mix of soft targets and labels, against plain arithmetic."""

import copy

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from polydx.distil.bounded import bounded_loss
from polydx.distil.exit_training import joint_loss
from polydx.distil.peers import mutual_loss
from polydx.distil.soft_targets import soft_target_loss
from polydx.distil.temperature import LearnedTemperature, Temperature
from polydx.distil.training import DistillationTask, learns_fast
from polydx.distil.transfer import transfer_set
from polydx.model.exits import Exits
from polydx.model.layers import classify
from polydx.model.tokens import TokenTable

TOKENS = TokenTable(np.arange(5, 17, dtype=np.int32), np.array([0, 3, 5, 9, 12]), pad_id=0)
ROWS = np.array([2, 0, 3])
PROBABILITIES = np.array([[0.9, 0.2], [0.4, 0.5], [0.7, 0.01]], dtype=np.float32)
TARGETS = np.array([[1, 0], [0, 1]], dtype=np.float32)


@pytest.fixture
def student() -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        num_labels=2,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertForSequenceClassification(config)


def log_loss(targets: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return -(targets * torch.log(logits.sigmoid()) + (1 - targets) * torch.log(1 - logits.sigmoid()))


@pytest.mark.parametrize("weight", [0.0, 0.7, 1.0])
def test_loss_mixes_soft_targets_and_labels(student: BertForSequenceClassification, weight: float) -> None:
    batch = transfer_set(TOKENS, ROWS, [PROBABILITIES], TARGETS).batch(np.arange(3), np.random.default_rng(0))
    logits = classify(student, batch["input_ids"], batch["attention_mask"])
    taught = torch.logit(torch.from_numpy(PROBABILITIES))
    soft = 4.0 * log_loss((taught / 2).sigmoid(), logits / 2).mean()
    hard = log_loss(torch.from_numpy(TARGETS), logits[:2]).sum() / 6  # of three rows, one has no labels
    loss = DistillationTask(student, Temperature(2.0, 2.0), soft_weight=weight)(batch, 0.0)
    torch.testing.assert_close(loss, weight * soft + (1 - weight) * hard, rtol=0, atol=1e-6)


def test_parts_that_are_switched_on_add_up(student: BertForSequenceClassification) -> None:
    peer = copy.deepcopy(student)
    peer.classifier.bias.data += 0.5
    exits = Exits(8, 2, 2, 0.0)
    student.bert.encoder.layer.append(copy.deepcopy(student.bert.encoder.layer[0]))
    batch = transfer_set(TOKENS, ROWS, [PROBABILITIES], TARGETS).batch(np.arange(3), np.random.default_rng(0))
    inputs = batch["input_ids"], batch["attention_mask"]
    weights = torch.tensor([[0.7, 2.0], [1.5, 0.5]])
    task = DistillationTask(
        student,
        Temperature(4.0, 2.0),
        1.0,
        side_weights=weights,
        bounded=(3.0, 0.1),
        peers=[peer],
        peer_weight=2.0,
        exits=(exits, "joint"),
    )

    def alone(logits: torch.Tensor) -> torch.Tensor:
        labelled = batch["labelled"].float()
        bounded = bounded_loss(logits, batch["taught"], batch["targets"], labelled, 0.1)
        return soft_target_loss(logits, batch["taught"], 3.0, weights) + 3 * bounded

    own, other = classify(student, *inputs), classify(peer, *inputs)
    hidden = student.bert(*inputs, output_hidden_states=True).hidden_states[1]
    early = exits([hidden], batch["attention_mask"])
    expected = alone(own) + alone(other) + 2 * mutual_loss([own, other]) + joint_loss(early, alone)
    torch.testing.assert_close(task(batch, 0.5), expected, rtol=0, atol=1e-5)


def test_only_encoders_learn_slowly(student: BertForSequenceClassification) -> None:
    task = DistillationTask(student, LearnedTemperature(2.0), 1.0, peers=[copy.deepcopy(student)])
    fast = {name for name, _ in task.named_parameters() if learns_fast(name)}
    heads = {f"{part}.{kind}" for part in ("bert.pooler.dense", "classifier") for kind in ("weight", "bias")}
    assert fast == {f"{owner}.{name}" for owner in ("model", "peers.0") for name in heads} | {"temperature.position"}
