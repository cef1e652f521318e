"""Which layers lessons compare, and that the teacher stays out of training."""

from dataclasses import fields

import pytest
import torch
from transformers import BertConfig, BertModel

from polydx.distil.attention import relation_loss
from polydx.distil.lessons import HiddenLessons, LessonWeights
from polydx.distil.patient import patient_loss
from polydx.distil.relations import distance_loss
from polydx.distil.value_direction import ValueAndDirection
from polydx.errors import UserError
from polydx.model.classifier import TextClassifier
from polydx.model.layers import LayerTrace, Trace, trace

# Of two rows there is one distance, which equals its mean whatever it is.
IDS = torch.tensor([[2, 7, 9, 3, 0], [2, 5, 6, 8, 3], [2, 10, 11, 3, 0]])
MASK = (IDS > 0).long()
BATCH = {"input_ids": IDS, "attention_mask": MASK}


def encoder(layers: int, seed: int) -> BertModel:
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=12,
        hidden_size=8,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=16,
        attention_probs_dropout_prob=0.0,
        hidden_dropout_prob=0.0,
    )
    return BertModel(config, add_pooling_layer=False)


@pytest.fixture
def teacher() -> TextClassifier:
    return TextClassifier(encoder(3, seed=0), 2, "mean", 0.0)


@pytest.fixture
def shown() -> Trace:
    return trace(encoder(3, seed=1), IDS, MASK)


def lessons(teacher: TextClassifier, layers: tuple[int, ...], **weights: float) -> HiddenLessons:
    return HiddenLessons(teacher, layers, LessonWeights(**weights), 8, torch.device("cpu"))


def test_layers_are_paired_and_a_pooling_layer_learns_from_none(teacher: TextClassifier, shown: Trace) -> None:
    own = shown.layers
    other = trace(teacher.encoder, IDS, MASK).layers
    found = lessons(teacher, (0, 2), patient=2.0, relations=3.0)(shown, BATCH)
    patient = patient_loss([own[0].hidden, own[1].hidden], [other[0].hidden, other[2].hidden])
    attention = relation_loss((own[1].query, own[1].key), (other[2].query, other[2].key), MASK, 2)
    value = relation_loss((own[1].value,) * 2, (other[2].value,) * 2, MASK, 2)
    torch.testing.assert_close(found, 2 * patient + 3 * (attention + value))


def test_lessons_about_the_last_layer_take_the_teachers_own_last_whichever_are_paired(
    teacher: TextClassifier, shown: Trace
) -> None:
    own, last = shown.layers[0], trace(teacher.encoder, IDS, MASK).layers[-1]
    attention = relation_loss((own.query, own.key), (last.query, last.key), MASK, 2)
    value = relation_loss((own.value,) * 2, (last.value,) * 2, MASK, 2)
    expected = attention + value + 2 * ValueAndDirection()(own.hidden, last.hidden, MASK)
    found = lessons(teacher, (0,), relations=1.0, value_direction=2.0)(shown, BATCH)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_rows_are_what_either_head_reads(teacher: TextClassifier, shown: Trace) -> None:
    other = trace(teacher.encoder, IDS, MASK).layers[-1].hidden
    means = torch.stack([other[0, :4].mean(0), other[1].mean(0), other[2, :4].mean(0)])
    expected = 25 * distance_loss(shown.layers[-1].hidden[:, 0], means)
    torch.testing.assert_close(lessons(teacher, (0, 1), distance=25.0)(shown, BATCH), expected)


@pytest.mark.parametrize("name", [field.name for field in fields(LessonWeights)])
def test_every_lesson_teaches_the_student_and_not_the_teacher(teacher: TextClassifier, name: str) -> None:
    student = encoder(2, seed=1)
    task = lessons(teacher, (0, 2), **{name: 1.0})
    loss = task(trace(student, IDS, MASK), BATCH)
    assert loss.ndim == 0
    loss.backward()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in student.parameters())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert not any("_teacher" in key for key in task.state_dict())
    task.train()
    assert not teacher.training


def states(layer: LayerTrace) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return layer.query, layer.key, layer.value


def test_under_autocast_lessons_are_computed_in_float32(teacher: TextClassifier) -> None:
    for parameter in teacher.encoder.parameters():
        # At first a BERT's tokens hardly tell each other apart.
        torch.nn.init.normal_(parameter, std=0.5)
    task, draw = lessons(teacher, (0, 1, 2), relations=1.0), torch.Generator().manual_seed(0)

    def close_to(states: torch.Tensor) -> torch.Tensor:
        return states + (0.005 * torch.randn(states.shape, generator=draw)).to(states.dtype)

    with torch.autocast("cpu", torch.bfloat16):
        shown = task.show(IDS, MASK)
        other = shown.layers[-1]
        own = LayerTrace(close_to(other.query), close_to(other.key), close_to(other.value), other.hidden)
        found = task(Trace(shown.embedded, (*shown.layers[:-1], own)), BATCH)
    assert own.query.dtype == torch.bfloat16
    query, key, value = ((mine.float(), its.float()) for mine, its in zip(states(own), states(other), strict=True))
    attention = relation_loss((query[0], key[0]), (query[1], key[1]), MASK, 2)
    values = relation_loss((value[0],) * 2, (value[1],) * 2, MASK, 2)
    assert found.dtype == torch.float32
    assert 0 < found.item() == pytest.approx((attention + values).item(), rel=1e-3)


def test_a_layer_that_the_teacher_lacks_is_refused(teacher: TextClassifier) -> None:
    with pytest.raises(UserError, match=r"distil\.lessons\.layers: is \[0, 3\]; give numbers from 0 to 2"):
        lessons(teacher, (0, 3), hidden=1.0)
