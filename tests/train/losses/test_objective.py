from typing import get_args

import numpy as np
import pytest
import torch

from polydx.model.label_rates import log_odds
from polydx.names import LossName
from polydx.train.losses import bce, distribution_balanced, positive_weights, sigmoid_f1, soft_f1
from polydx.train.losses.distribution_balanced import BalancedShape
from polydx.train.losses.objective import LossShapes, Objective, bce_and_soft_f1

TARGETS = (np.random.default_rng(0).random((30, 3)) < [0.5, 0.2, 0.1]).astype(np.float32)
POSITIVES = torch.from_numpy(TARGETS.sum(0))
PLAIN = LossShapes()


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(8, 3), torch.from_numpy(TARGETS[:8]), torch.rand(8)


def test_bce_and_soft_f1_are_mixed_as_their_setting_says() -> None:
    logits, targets, weights = batch()
    first, second = bce(logits, targets, weights), soft_f1(logits, targets, weights)
    for share, expected in ((0.0, first), (0.2, 0.8 * first + 0.2 * second), (1.0, second)):
        objective = Objective(bce_and_soft_f1(share), {}, (0.0, 1.0), TARGETS, PLAIN)
        assert torch.equal(objective(logits, targets, weights, 0.5), expected)


def test_weights_turn_linearly_into_the_later_ones() -> None:
    objective = Objective({"bce": 1.0}, {"bce": 0.5, "soft_f1": 2.0}, (0.2, 0.6), TARGETS, PLAIN)
    found = [objective.weights(progress) for progress in (0.0, 0.2, 0.3, 0.6, 0.99)]
    assert [weights["bce"] for weights in found] == pytest.approx([1.0, 1.0, 0.875, 0.5, 0.5])
    assert [weights["soft_f1"] for weights in found] == pytest.approx([0.0, 0.0, 0.5, 2.0, 2.0])
    logits, targets, weights = batch()
    expected = 0.875 * bce(logits, targets, weights) + 0.5 * soft_f1(logits, targets, weights)
    torch.testing.assert_close(objective(logits, targets, weights, 0.3), expected)


def test_a_ramp_without_length_jumps() -> None:
    objective = Objective({"bce": 1.0}, {"zlpr": 1.0}, (0.5, 0.5), TARGETS, PLAIN)
    assert objective.weights(0.49) == {"bce": 1.0, "zlpr": 0.0}
    assert objective.weights(0.5) == {"bce": 0.0, "zlpr": 1.0}


def test_class_weights_and_adjusted_logits_come_from_the_training_rows() -> None:
    logits, targets, weights = batch()
    shapes = LossShapes(class_weight_power=0.5, logit_adjustment=2.0)
    objective = Objective({"bce": 1.0}, {}, (0.0, 1.0), TARGETS, shapes)
    expected = bce(logits + 2.0 * log_odds(POSITIVES, 30), targets, weights, positive_weights(POSITIVES, 30, 0.5))
    torch.testing.assert_close(objective(logits, targets, weights, 0.0), expected)
    assert objective.state_dict() == {}, "no checkpoint of a model holds label counts"


def test_shapes_reach_the_losses_that_have_them() -> None:
    logits, targets, weights = batch()
    shape = BalancedShape(floor=0.3, negative_scale=3.0)
    shapes = LossShapes(sigmoid_f1_slope=3.0, sigmoid_f1_offset=0.5, balanced=shape)
    expected = {
        "sigmoid_f1": sigmoid_f1(logits, targets, weights, slope=3.0, offset=0.5),
        "distribution_balanced": distribution_balanced(logits, targets, weights, POSITIVES, 30, shape),
    }
    for name, loss in expected.items():
        assert torch.equal(Objective({name: 1.0}, {}, (0.0, 1.0), TARGETS, shapes)(logits, targets, weights, 0.0), loss)


@pytest.mark.parametrize("name", get_args(LossName))
def test_every_loss_falls_along_its_gradient(name: LossName) -> None:
    logits, targets, weights = batch()
    objective = Objective({name: 0.5}, {}, (0.0, 1.0), TARGETS, PLAIN)
    logits.requires_grad_()
    before = objective(logits, targets, weights, 0.0)
    (gradient,) = torch.autograd.grad(before, logits)
    assert objective(logits - 0.1 * gradient, targets, weights, 0.0) < before
