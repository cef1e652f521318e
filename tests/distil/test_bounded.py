"""The teacher-bounded loss and the weights of rare labels, by hand."""

import numpy as np
import pytest
import torch

from polydx.distil.bounded import bounded_loss, side_weights


def test_the_student_is_let_off_where_it_beats_the_teacher_by_the_margin() -> None:
    own = torch.tensor([[0.9, 0.6], [0.5, 0.5]])
    taught = torch.tensor([[0.5, 0.7], [0.5, 0.5]])
    targets = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    # Squared errors .01 and .16 against .25 and .09: with a margin of .1 the first label is learnt well enough.
    loss = bounded_loss(own.logit(), taught.logit(), targets, torch.tensor([1.0, 0.0]), margin=0.1)
    assert loss.item() == pytest.approx(0.16 / 4)
    loss = bounded_loss(own.logit(), taught.logit(), targets, torch.tensor([1.0, 1.0]), margin=0.3)
    assert loss.item() == pytest.approx((0.01 + 0.16 + 0.25 + 0.25) / 4)


def test_a_rarer_label_weighs_more_on_its_present_side() -> None:
    rates = np.array([0.4, 0.1, 0.1], dtype=np.float32)
    absent, present = side_weights(rates, 0.5, 1.5)
    assert (present[1] / present[0]).item() == pytest.approx(2.0)
    assert present.mean().item() == pytest.approx(1.0)
    assert absent.tolist() == [1.5] * 3
    torch.testing.assert_close(side_weights(rates, 0.0, 1.0), torch.ones(2, 3))
