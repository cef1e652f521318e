"""Training a student on what its teachers say and on labels."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import cast

from torch import Tensor, nn

from polydx.distil.bounded import bounded_loss
from polydx.distil.exit_training import exit_loss
from polydx.distil.lessons import HiddenLessons
from polydx.distil.peers import mutual_loss
from polydx.distil.quantisation import Int8Products
from polydx.distil.soft_targets import soft_target_divergence, soft_target_loss
from polydx.distil.student import Student, is_head
from polydx.model.exits import Exits
from polydx.model.layers import Trace, body_of, classify, classify_first, trace
from polydx.names import ExitTraining
from polydx.train.losses import bce


class DistillationTask(nn.Module):
    """w soft targets + (1 - w) BCE with the labels, and whatever else is switched on.

    A row without labels has the parts that need none. Everything but the student itself is thrown away after training.

    Args:
        model: The student.
        temperature: Gives T of the soft targets by the share of training done.
        soft_weight: w, in [0, 1].
        side_weights: `[2, labels]`, what either side of each label weighs in the soft targets, or None.
        bounded: Weight and margin of the teacher-bounded loss; a weight of 0 leaves it out.
        peers: Further students that learn the same and teach each other.
        peer_weight: What their teaching weighs.
        lessons: About hidden states.
        exits: The student's early exits, and how they are trained.
        int8_share: Last share of the training in which the student's own products are rounded as int8 rounds them.
    """

    def __init__(
        self,
        model: Student,
        temperature: nn.Module,
        soft_weight: float,
        *,
        side_weights: Tensor | None = None,
        bounded: tuple[float, float] = (0.0, 0.0),
        peers: Sequence[Student] = (),
        peer_weight: float = 1.0,
        lessons: HiddenLessons | None = None,
        exits: tuple[Exits, ExitTraining] | None = None,
        int8_share: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature
        self.soft_weight = soft_weight
        self.register_buffer("side_weights", side_weights, persistent=False)
        self.bounded_weight, self.margin = bounded
        self.peers = nn.ModuleList(peers)
        self.peer_weight = peer_weight
        self.lessons = lessons
        self.exits: Exits | None = None if exits is None else exits[0]
        self.exit_training: ExitTraining = "none" if exits is None else exits[1]
        self.int8_share = int8_share

    def forward(self, batch: dict[str, Tensor], progress: float) -> Tensor:
        """Scalar loss of one batch."""
        input_ids, mask = batch["input_ids"], batch["attention_mask"]
        temperature: float | Tensor = self.temperature(progress)
        taught = partial(self._taught, batch, temperature)
        shown: Trace | None = None
        rounding: AbstractContextManager[object] = nullcontext()
        if progress >= 1 - self.int8_share:
            rounding = Int8Products()
        with rounding:
            if self.lessons is None and self.exits is None:
                logits = classify(self.model, input_ids, mask)
            else:
                shown = trace(body_of(self.model), input_ids, mask)
                logits = classify_first(self.model, shown.layers[-1].hidden[:, 0]).float()
        loss = taught(logits)
        if self.lessons is not None and shown is not None:
            loss = loss + self.lessons(shown, batch)
        if self.exits is not None and shown is not None:
            loss = loss + self._exit_loss(self.exits, shown, mask, logits, taught)
        if len(self.peers):
            others = [classify(cast("Student", peer), input_ids, mask) for peer in self.peers]
            own = [taught(other) for other in others]
            loss = sum(own, loss) + self.peer_weight * mutual_loss([logits, *others])
        return loss

    def _taught(self, batch: dict[str, Tensor], temperature: float | Tensor, logits: Tensor) -> Tensor:
        """What teachers and labels say to logits `[batch, labels]`."""
        labelled = batch["labelled"].to(logits.dtype)
        sides = cast("Tensor | None", self.side_weights)
        # Only a learned temperature minds the teacher's entropy; the student's gradient is the same.
        soft_loss = soft_target_divergence if isinstance(temperature, Tensor) else soft_target_loss
        soft = soft_loss(logits, batch["taught"], temperature, sides)
        hard = bce(logits, batch["targets"], labelled)
        loss = self.soft_weight * soft + (1 - self.soft_weight) * hard
        if self.bounded_weight:
            bounded = bounded_loss(logits, batch["taught"], batch["targets"], labelled, self.margin)
            loss = loss + self.bounded_weight * bounded
        return loss

    def _exit_loss(
        self, exits: Exits, shown: Trace, mask: Tensor, logits: Tensor, taught: Callable[[Tensor], Tensor]
    ) -> Tensor:
        hidden = [layer.hidden for layer in shown.layers[:-1]]
        if self.exit_training == "self":
            hidden = [states.detach() for states in hidden]
        return exit_loss(self.exit_training, exits(hidden, mask), logits, taught)


def learns_fast(parameter: str) -> bool:
    """Whether a parameter of a task, by its full name, is no encoder's: it learns at the head's rate."""
    owner, _, name = parameter.partition(".")
    if owner == "peers":
        name = name.partition(".")[2]
    return owner not in ("model", "peers") or is_head(name)
