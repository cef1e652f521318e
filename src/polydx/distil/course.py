"""A student's course: all that it is taught at once, put together from plain values."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from polydx.artifacts import Floats
from polydx.distil.bounded import side_weights
from polydx.distil.lessons import HiddenLessons, LessonWeights
from polydx.distil.student import Student
from polydx.distil.temperature import new_temperature
from polydx.distil.training import DistillationTask
from polydx.model.classifier import TextClassifier
from polydx.model.exits import Exits
from polydx.names import ExitTraining, TemperatureSchedule


@dataclass(frozen=True)
class Course:
    """How a student is taught; the meaning of each value stands in the settings."""

    soft_weight: float
    temperature: float
    schedule: TemperatureSchedule
    end_temperature: float
    rare_power: float
    absent_weight: float
    bounded_weight: float
    bounded_margin: float
    peer_weight: float
    exits: ExitTraining
    int8_share: float
    lessons: LessonWeights


def new_task(
    course: Course,
    students: Sequence[Student],
    targets: Floats,
    teacher: TextClassifier | None,
    layers: Sequence[int],
    device: torch.device,
) -> DistillationTask:
    """Put together what one student is taught.

    Args:
        course: What and how.
        students: The student that is kept, and its peers.
        targets: `[rows, labels]`, 0 or 1, of its labelled rows.
        teacher: Shows its hidden states; None where there are no lessons about them.
        layers: Numbers of the teacher's layers that the student's learn from, one each.
        device: Where the training runs.
    """
    student, *peers = students
    width, depth = student.config.hidden_size, student.config.num_hidden_layers
    lessons, exits = None, None
    if teacher is not None:
        lessons = HiddenLessons(teacher, layers, course.lessons, width, device)
    if course.exits != "none":
        exits = Exits(width, targets.shape[1], depth, student.config.hidden_dropout_prob), course.exits
    # Half a row on either side keeps a label without any row from weighing without end.
    weighs_sides = course.rare_power > 0 or course.absent_weight != 1
    rates = (targets.sum(axis=0) + 0.5) / (len(targets) + 1)
    return DistillationTask(
        student,
        new_temperature(course.schedule, course.temperature, course.end_temperature),
        course.soft_weight,
        side_weights=side_weights(rates, course.rare_power, course.absent_weight) if weighs_sides else None,
        bounded=(course.bounded_weight, course.bounded_margin),
        peers=peers,
        peer_weight=course.peer_weight,
        lessons=lessons,
        exits=exits,
        int8_share=course.int8_share,
    )
