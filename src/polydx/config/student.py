"""Settings of the student and its smaller forms."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from polydx.config.base import Count, NotNegative, Positive, Rate, Schedule, Section, Share, each_once
from polydx.names import ExitTraining, FormName, TemperatureSchedule


class Lessons(Section):
    """What a student learns from one teacher's hidden states, beside soft targets; a weight of 0 leaves one out."""

    teacher: str | None
    """Member whose model of the same fold runs beside the student; null for no lessons."""
    layers: tuple[Count, ...]
    """Its layers that the student's layers learn from, one each; empty: those that `distil.layers` names."""
    hint: NotNegative
    """FitNets: MSE of the middle layer's states after a learned projection."""
    embedding: NotNegative
    """TinyBERT: the same on what enters the first layer."""
    hidden: NotNegative
    """TinyBERT: the same on every layer."""
    attention: NotNegative
    """TinyBERT: MSE of every layer's attention scores."""
    patient: NotNegative
    """PKD: the normalised first token of every layer."""
    relations: NotNegative
    """MiniLM: attention and value relations of the last layer."""
    attention_transfer: NotNegative
    """Where in the record every layer is busy."""
    similarity: NotNegative
    """Similarity-preserving: products of a batch's rows."""
    distance: NotNegative
    """RKD: distances of a batch's rows; 25 in the paper."""
    angle: NotNegative
    """RKD: angles of a batch's rows; 50 in the paper."""
    value_direction: NotNegative
    """Value and direction of the last layer's activations."""


class Distil(Schedule):
    """One small student of all teachers, with a head that a stock class of the library has."""

    enabled: bool
    """Whether there is a student."""
    encoder: str
    """Entry of `encoders` whose layers the student starts from."""
    layers: Annotated[tuple[Count, ...], Field(min_length=1)]
    """Layers of that encoder to keep, from 0."""
    temperature: Rate
    """T of the soft targets."""
    soft_weight: Share
    """Weight of the soft targets; the rest goes to the labels, where there are any."""
    max_unlabelled: Count
    """Most unlabelled rows in the transfer set."""
    start: str | None
    """Member whose model of the same fold gives `layers` and, with a pooling layer, the head; null: `encoder`."""
    pooling_layer: bool
    """A further layer that starts as the mean of the tokens, which the stock head reads."""
    kept_neurons: Annotated[float, Field(gt=0.0, le=1.0)]
    """Share of each layer's feed-forward neurons that the student starts with, those of the largest weights;
    an assistant has all."""
    teachers: Literal["mean", "sampled", "by_score"]
    """The mean of all members by `teacher_weights`; one drawn a step in proportion to them; or the mean by them times
    each member's out-of-fold score, for a fold's student on rows outside its fold: their labels alone, but answered by
    models that trained on the fold, stacking's second-order path."""
    teacher_weights: dict[str, NotNegative]
    """Weight of each member that teaches, 0 where not named; empty: all alike. Out-of-fold scores put here would leak:
    use `by_score`."""
    schedule: TemperatureSchedule
    """T stays, goes linearly to `end_temperature`, or is learned against the student (curriculum temperature)."""
    end_temperature: Rate
    """T at the end of `annealed`."""
    rare_power: Share
    """The present side of a label weighs (mean rate / its rate) to this power in the soft loss; 0: all alike."""
    absent_weight: Rate
    """What the absent side of every label weighs in the soft loss, the present sides weighing 1 in the mean."""
    bounded_weight: NotNegative
    """Weight of the teacher-bounded loss."""
    bounded_margin: NotNegative
    """By how much squared error the student must beat its teacher to be let off."""
    peers: Count
    """Further students that learn beside the one that is kept, all teaching each other."""
    peer_weight: NotNegative
    """Weight of what peers teach."""
    assistant_layers: tuple[Count, ...]
    """Layers of an assistant of middle size that learns first and then teaches the student alone; empty: none."""
    generations: Count
    """How often the student teaches a new one of its size, which replaces it (born-again)."""
    exits: ExitTraining
    """Early exits: none; trained with the student; taught by its last layer; trained with it and by each other."""
    int8_share: Share
    """Last share of the training in which products are rounded as int8 will round them, straight-through gradients
    past the rounding (quantisation-aware distillation); 0: never."""
    lessons: Lessons
    """What it learns from a teacher's hidden states."""


class Compress(Section):
    """Smaller forms of the student, made by `polydx compress` after a run; each ships only if its score holds."""

    forms: Annotated[tuple[FormName, ...], Field(min_length=1), AfterValidator(each_once)]
    """Half-precision weights; only tokens that occur; fewer neurons; a factorised embedding table; fewer heads; ONNX in
    fp32, and in int8 with activation ranges of each batch or fixed ones."""
    max_drop: Share
    """Largest drop of nested out-of-fold macro-F1 that a form may cost."""
    kept_neurons: Annotated[float, Field(gt=0.0, le=1.0)]
    """Share of each layer's feed-forward neurons that stays."""
    kept_heads: Annotated[float, Field(gt=0.0, le=1.0)]
    """Share of each layer's attention heads that stays; one at least."""
    embedding_rank: Positive
    """Rank of the factorised embedding table."""
    calibration_rows: Positive
    """Training rows that importances and activation ranges are taken from."""
