"""From the student's settings to students and what they are taught."""

from collections.abc import Callable
from typing import NamedTuple

from polydx.artifacts import Floats
from polydx.config import Distil
from polydx.distil.course import Course
from polydx.distil.lessons import LessonWeights
from polydx.distil.student import Student, student_of, take_head
from polydx.model.classifier import load_classifier
from polydx.model.encoders import check_length, load_encoder
from polydx.model.heads import start_at_rates
from polydx.paths import FoldFiles, RunPaths


class Body(NamedTuple):
    """What one student keeps of the encoder it starts from: layers, from 0, the share of their neurons; who says so."""

    layers: tuple[int, ...]
    kept_neurons: float
    setting: str


def chain_of(distil: Distil) -> list[Body]:
    """Bodies of the students that are trained one after the other; each teaches the next, and the last is kept."""
    assistant = [Body(distil.assistant_layers, 1.0, "distil.assistant_layers")] if distil.assistant_layers else []
    return assistant + [Body(distil.layers, distil.kept_neurons, "distil.layers")] * (1 + distil.generations)


def new_students(
    paths: RunPaths,
    distil: Distil,
    labels: tuple[str, ...],
    targets: Floats,
    fine_tuned: Callable[[str], FoldFiles],
    body: Body,
) -> list[Student]:
    """Make a student, and its peers.

    Args:
        paths: The run's files.
        distil: The student's settings.
        labels: What its logits stand for.
        targets: `[rows, labels]`, 0 or 1, of its labelled rows: their rates start its head.
        fine_tuned: Tells where a member's model lies that may start it.
        body: What it keeps of its encoder.

    Raises:
        UserError: The encoder has no such layers, or too few positions.
    """
    students = []
    for _ in range(1 + distil.peers):
        if distil.start is None:
            encoder, head = load_encoder(paths.encoder(distil.encoder), distil.dropout), None
        else:
            member = load_classifier(fine_tuned(distil.start).model, distil.dropout)
            encoder, head = member.encoder, member.head
        student = student_of(
            encoder,
            body.layers,
            labels,
            distil.dropout,
            pooling_layer=distil.pooling_layer,
            kept_neurons=body.kept_neurons,
            setting=body.setting,
        )
        if head is not None and distil.pooling_layer:
            take_head(student, head)
        start_at_rates(student.classifier.bias, targets)
        check_length(student, distil.max_tokens, "distil.max_tokens")
        students.append(student)
    return students


def course_of(distil: Distil, last: bool) -> Course:
    """What one student of a chain is taught; only the last, the one that is kept, has exits and learns for int8."""
    return Course(
        soft_weight=distil.soft_weight,
        temperature=distil.temperature,
        schedule=distil.schedule,
        end_temperature=distil.end_temperature,
        rare_power=distil.rare_power,
        absent_weight=distil.absent_weight,
        bounded_weight=distil.bounded_weight,
        bounded_margin=distil.bounded_margin,
        peer_weight=distil.peer_weight,
        exits=distil.exits if last else "none",
        int8_share=distil.int8_share if last else 0.0,
        lessons=LessonWeights(**distil.lessons.model_dump(exclude={"teacher", "layers"})),
    )
