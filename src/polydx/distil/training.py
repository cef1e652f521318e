"""Training a student on what its teachers say and on labels."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from polydx.artifacts import Floats, fingerprint_arrays
from polydx.distil.bounded import bounded_loss
from polydx.distil.exit_training import ExitTraining, exit_loss
from polydx.distil.lessons import HiddenLessons
from polydx.distil.peers import mutual_loss
from polydx.distil.quantisation import Int8Products
from polydx.distil.soft_targets import soft_target_divergence, soft_target_loss, teacher_logits
from polydx.distil.student import Student, is_head
from polydx.model.exits import Exits
from polydx.model.layers import Trace, body_of, classify, classify_first, trace
from polydx.model.tokens import IntArray, TokenTable
from polydx.train.losses import bce


@dataclass(frozen=True)
class DistillationExamples:
    """The transfer set.

    Attributes:
        tokens: All rows of the records.
        rows: `[examples]`, int64, the rows of `tokens` to learn from.
        taught: `[teachers, examples, labels]`, float32, logits; one teacher alone, or each step draws one of them.
        chances: `[teachers]`, float64, how often each is drawn; they add up to 1.
        targets: `[examples, labels]`, float32, 0 or 1; zeros where there are no labels.
        labelled: `[examples]`, bool, whether a row has labels.
    """

    tokens: TokenTable
    rows: IntArray
    taught: Floats
    chances: npt.NDArray[np.float64]
    targets: Floats
    labelled: npt.NDArray[np.bool_]

    @property
    def lengths(self) -> IntArray:
        """`[examples]`, tokens of each."""
        return self.tokens.lengths[self.rows]

    def fingerprint(self) -> str:
        """Changes whenever any example does."""
        return fingerprint_arrays(
            self.tokens.ids, self.tokens.starts, self.rows, self.taught, self.chances, self.targets, self.labelled
        )

    def batch(self, rows: IntArray, draw: np.random.Generator) -> dict[str, Tensor]:
        """`input_ids`, `attention_mask`, `taught`, `targets`, `labelled` of some examples."""
        teacher = draw.choice(len(self.chances), p=self.chances)
        input_ids, attention_mask = self.tokens.pad(self.rows[rows])
        return {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "taught": torch.from_numpy(self.taught[teacher, rows]),
            "targets": torch.from_numpy(self.targets[rows]),
            "labelled": torch.from_numpy(self.labelled[rows]),
        }


def transfer_set(
    tokens: TokenTable,
    rows: IntArray,
    probabilities: Sequence[Floats],
    targets: Floats,
    chances: Sequence[float] = (1.0,),
) -> DistillationExamples:
    """Put together what a student learns from.

    Args:
        tokens: All rows of the records.
        rows: `[examples]`, int64, the rows of `tokens` to learn from, those with labels first.
        probabilities: `[examples, labels]` of each teacher; of more than one, each step draws one (SKDBERT, Ding 2023).
        targets: `[labelled, labels]`, 0 or 1, of the rows with labels.
        chances: How often each teacher is drawn, in proportion.

    Raises:
        ValueError: A teacher spoke of another number of rows, or there are not as many chances as teachers.
    """
    for each in probabilities:
        if len(rows) != len(each):
            raise ValueError(f"the teachers gave {len(each)} rows for {len(rows)} rows to learn from")
    if len(chances) != len(probabilities):
        raise ValueError(f"{len(chances)} chances for {len(probabilities)} teachers")
    padded = np.zeros_like(probabilities[0], dtype=np.float32)
    padded[: len(targets)] = targets
    labelled = np.arange(len(rows)) < len(targets)
    taught = np.stack([teacher_logits(each) for each in probabilities])
    shares = np.asarray(chances, dtype=np.float64)
    return DistillationExamples(tokens, rows, taught, shares / shares.sum(), padded, labelled)


class DistillationTask(nn.Module):
    """w soft targets + (1 - w) BCE with the labels, and whatever else is switched on.

    A row without labels has the parts that need none. Everything but the student itself is thrown away after training.

    Args:
        model: The student.
        temperature: Gives T of the soft targets by the share of training done.
        soft_weight: w, in [0, 1].
        present_weights: `[labels]`, what the present side of each label weighs in the soft targets, or None.
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
        present_weights: Tensor | None = None,
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
        self.register_buffer("present_weights", present_weights, persistent=False)
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
        present = cast("Tensor | None", self.present_weights)
        # Only a learned temperature minds the teacher's entropy; the student's gradient is the same.
        soft_loss = soft_target_divergence if isinstance(temperature, Tensor) else soft_target_loss
        soft = soft_loss(logits, batch["taught"], temperature, present)
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
