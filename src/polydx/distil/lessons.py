"""Lessons about hidden states: one teacher runs beside the student and shows what its layers make of the same tokens.

Hidden states would fill the disk, so unlike logits they are computed again in every step.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from polydx.distil.attention import attention_score_loss, attention_scores, attention_transfer_loss, relation_loss
from polydx.distil.hints import Hint
from polydx.distil.patient import patient_loss
from polydx.distil.relations import angle_loss, distance_loss, similarity_loss
from polydx.distil.value_direction import ValueAndDirection
from polydx.errors import UserError
from polydx.model.classifier import TextClassifier
from polydx.model.layers import LayerTrace, Trace, trace


@dataclass(frozen=True)
class LessonWeights:
    """What each lesson weighs in the loss; 0 leaves it out. A lesson on layers is the mean over them.

    Attributes:
        hint: FitNets, on the middle one of the student's layers.
        embedding: TinyBERT's loss on what enters the first layer.
        hidden: TinyBERT's loss on what leaves each layer.
        attention: TinyBERT's loss on attention scores of each layer.
        patient: PKD on the first token of each layer.
        relations: MiniLM's attention and value relations of the teacher's last layer.
        attention_transfer: Where each layer is busy.
        similarity: Similarities of the rows of a batch.
        distance: Distances between them.
        angle: Angles between them.
        value_direction: Value and direction of the teacher's last layer's activations.
    """

    hint: float = 0.0
    embedding: float = 0.0
    hidden: float = 0.0
    attention: float = 0.0
    patient: float = 0.0
    relations: float = 0.0
    attention_transfer: float = 0.0
    similarity: float = 0.0
    distance: float = 0.0
    angle: float = 0.0
    value_direction: float = 0.0


class HiddenLessons(nn.Module):
    """The weighted sum of all lessons that one teacher gives.

    The teacher is no submodule: it isn't trained, stays in evaluation mode and out of checkpoints.

    Args:
        teacher: A fine-tuned classifier on the student's own vocabulary.
        layers: Numbers of the teacher's layers that the student's layers learn from, one each, from the student's
            lowest; a further layer of the student, its pooling layer, learns from none. Lessons about the last layer
            are the teacher's own last, whichever are paired, for the last layer of the student that learns from one.
        weights: What each lesson weighs.
        student_width: Width of the student.
        device: Where the training runs.

    Raises:
        UserError: The teacher has no such layer.
    """

    def __init__(
        self,
        teacher: TextClassifier,
        layers: Sequence[int],
        weights: LessonWeights,
        student_width: int,
        device: torch.device,
    ) -> None:
        super().__init__()
        self._teacher = (teacher.to(device).eval(),)
        self.layers = tuple(layers)
        self.weights = weights
        width: int = teacher.encoder.config.hidden_size
        self.heads: int = teacher.encoder.config.num_attention_heads
        count: int = teacher.encoder.config.num_hidden_layers
        if not self.layers or max(self.layers) >= count:
            problem, fix = f"is {list(self.layers)}", f"give numbers from 0 to {count - 1}"
            raise UserError("distil.lessons.layers", problem, fix)
        self.hint = Hint(student_width, width) if weights.hint else None
        self.embedding = Hint(student_width, width) if weights.embedding else None
        self.hidden = nn.ModuleList(Hint(student_width, width) for _ in self.layers if weights.hidden)
        self.value_direction = ValueAndDirection() if weights.value_direction else None

    @torch.no_grad()
    def show(self, input_ids: Tensor, attention_mask: Tensor) -> Trace:
        """What the teacher's layers make of a batch."""
        return trace(self._teacher[0].encoder, input_ids, attention_mask)

    def forward(self, student: Trace, batch: dict[str, Tensor]) -> Tensor:
        """Scalar loss of one batch, float32, from what the student's layers made of it, in whatever precision."""
        teacher = self.show(batch["input_ids"], batch["attention_mask"])
        # Near its end a lesson is what is left of large numbers that all but agree: in bf16, rounding alone.
        with _full_precision(student.embedded.device.type):
            return self._loss(_in_float32(student), _in_float32(teacher), batch["attention_mask"])

    def _loss(self, student: Trace, teacher: Trace, mask: Tensor) -> Tensor:
        learns = student.layers[: len(self.layers)]
        teaches = [teacher.layers[number] for number in self.layers]
        terms = [
            *self._token_terms(student, teacher, learns, teaches, mask),
            *self._attention_terms(learns, teaches, mask),
            *self._last_layer_terms(learns[-1], teacher.layers[-1], mask),
            *self._row_terms(student, teacher, mask),
        ]
        return sum(terms[1:], terms[0])

    def _token_terms(
        self,
        student: Trace,
        teacher: Trace,
        learns: Sequence[LayerTrace],
        teaches: Sequence[LayerTrace],
        mask: Tensor,
    ) -> list[Tensor]:
        terms = []
        if self.hint is not None:
            middle = (len(learns) - 1) // 2
            terms.append(self.weights.hint * self.hint(learns[middle].hidden, teaches[middle].hidden, mask))
        if self.embedding is not None:
            terms.append(self.weights.embedding * self.embedding(student.embedded, teacher.embedded, mask))
        for hint, own, other in zip(self.hidden, learns, teaches, strict=False):
            terms.append(self.weights.hidden / len(learns) * hint(own.hidden, other.hidden, mask))
        if self.weights.patient:
            states = [[layer.hidden for layer in side] for side in (learns, teaches)]
            terms.append(self.weights.patient * patient_loss(states[0], states[1]))
        return terms

    def _attention_terms(
        self, learns: Sequence[LayerTrace], teaches: Sequence[LayerTrace], mask: Tensor
    ) -> list[Tensor]:
        terms = []
        for own, other in zip(learns, teaches, strict=True):
            if self.weights.attention:
                scores = attention_scores(own.query, own.key), attention_scores(other.query, other.key)
                terms.append(self.weights.attention / len(learns) * attention_score_loss(scores[0], scores[1], mask))
            if self.weights.attention_transfer:
                loss = attention_transfer_loss(own.hidden, other.hidden, mask)
                terms.append(self.weights.attention_transfer / len(learns) * loss)
        return terms

    def _last_layer_terms(self, own: LayerTrace, other: LayerTrace, mask: Tensor) -> list[Tensor]:
        terms = []
        if self.value_direction is not None:
            terms.append(self.weights.value_direction * self.value_direction(own.hidden, other.hidden, mask))
        if self.weights.relations:
            attention = relation_loss((own.query, own.key), (other.query, other.key), mask, self.heads)
            value = relation_loss((own.value, own.value), (other.value, other.value), mask, self.heads)
            terms.append(self.weights.relations * (attention + value))
        return terms

    def _row_terms(self, student: Trace, teacher: Trace, mask: Tensor) -> list[Tensor]:
        """A row's vector is what the student's head reads, the first token, and the mean of the teacher's tokens."""
        own = student.layers[-1].hidden[:, 0]
        real = mask[..., None].to(own.dtype)
        other = (teacher.layers[-1].hidden * real).sum(1) / real.sum(1)
        losses = (
            (self.weights.similarity, similarity_loss),
            (self.weights.distance, distance_loss),
            (self.weights.angle, angle_loss),
        )
        return [weight * loss(own, other) for weight, loss in losses if weight]


def _full_precision(device: str) -> AbstractContextManager[object]:
    """Autocast off, on the kinds of device that have it."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


def _in_float32(shown: Trace) -> Trace:
    """The same states in float32."""
    layers = (
        LayerTrace(layer.query.float(), layer.key.float(), layer.value.float(), layer.hidden.float())
        for layer in shown.layers
    )
    return Trace(shown.embedded.float(), tuple(layers))
