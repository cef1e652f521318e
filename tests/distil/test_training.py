"""The mix of soft targets and labels, against plain arithmetic."""

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from polydx.distil.training import DistillationTask, score, transfer_set
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


def test_the_transfer_set_keeps_rows_and_answers_together() -> None:
    examples = transfer_set(TOKENS, ROWS, PROBABILITIES, TARGETS)
    assert examples.lengths.tolist() == [4, 3, 3]
    batch = examples.batch(np.array([2, 0]), np.random.default_rng(0))
    assert batch["input_ids"].tolist() == [[14, 15, 16, 0], [10, 11, 12, 13]]
    assert batch["labelled"].tolist() == [False, True]
    assert batch["targets"].tolist() == [[0, 0], [1, 0]]
    np.testing.assert_allclose(batch["taught"].sigmoid().numpy(), PROBABILITIES[[2, 0]], atol=1e-6)


def test_teachers_of_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="2 rows for 3 rows"):
        transfer_set(TOKENS, ROWS, PROBABILITIES[:2], TARGETS)


@pytest.mark.parametrize("weight", [0.0, 0.7, 1.0])
def test_loss_mixes_soft_targets_and_labels(student: BertForSequenceClassification, weight: float) -> None:
    batch = transfer_set(TOKENS, ROWS, PROBABILITIES, TARGETS).batch(np.arange(3), np.random.default_rng(0))
    logits = score(student, batch["input_ids"], batch["attention_mask"])
    taught = torch.logit(torch.from_numpy(PROBABILITIES))
    soft = 4.0 * log_loss((taught / 2).sigmoid(), logits / 2).mean()
    hard = log_loss(torch.from_numpy(TARGETS), logits[:2]).sum() / 6  # of three rows, one has no labels
    loss = DistillationTask(student, temperature=2.0, soft_weight=weight)(batch, 0.0)
    torch.testing.assert_close(loss, weight * soft + (1 - weight) * hard, rtol=0, atol=1e-6)
