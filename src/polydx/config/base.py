"""What every part of the settings is made of."""

from collections.abc import Iterator
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Value = TypeVar("Value")
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]


def _has_a_bounded_gradient(power: float) -> float:
    if 0.0 < power < 1.0:
        raise ValueError("its gradient would have no bound: give 0, or at least 1")
    return power


Focus = Annotated[float, Field(ge=0.0), AfterValidator(_has_a_bounded_gradient)]
"""A focusing power: (1 - p) to it weighs the loss of a label that has probability p."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
"""A run's, member's or encoder's name: it becomes a folder's."""


def each_once(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Refuse a list that names something twice."""
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"names {value} twice: keep one of them")
    return values


class Section(BaseModel):
    """Base of every part of the settings: frozen, typed strictly, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Schedule(Section):
    """How a classifier on an encoder is trained, a member as well as the student."""

    max_tokens: Annotated[int, Field(ge=8)]
    """Longest sequence; a longer record is cut at its end."""
    epochs: Rate
    """Passes over all rows it learns from; a member's, in round 0."""
    batch_size: Positive
    """Rows a step."""
    learning_rate: Rate
    """Peak rate of the encoder."""
    head_learning_rate: Rate
    """Peak rate of the head, and of a student's pooler."""
    weight_decay: NotNegative
    """AdamW's decoupled weight decay; none on biases and norms."""
    warmup_share: Share
    """Share of the steps spent warming up; the rest decays linearly to zero."""
    clip_norm: Rate
    """Largest L2 norm of the gradient."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Dropout of hidden states and of the head."""
    bf16: Literal["auto", "never"]
    """bf16 autocast where the device has it, or never."""


def sections(base: type[Section] = Section) -> Iterator[type[Section]]:
    """Every part of the settings, whatever it inherits its fields from."""
    for section in base.__subclasses__():
        yield section
        yield from sections(section)
