"""Training a student on what its teachers say and on labels."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from polydx.artifacts import Floats, fingerprint_arrays
from polydx.distil.soft_targets import soft_target_loss, teacher_logits
from polydx.distil.student import Student
from polydx.model.tokens import IntArray, TokenTable
from polydx.train.losses import bce


@dataclass(frozen=True)
class DistillationExamples:
    """The transfer set.

    Attributes:
        tokens: All rows of the records.
        rows: `[examples]`, int64, the rows of `tokens` to learn from.
        taught: `[examples, labels]`, float32, logits of the teachers.
        targets: `[examples, labels]`, float32, 0 or 1; zeros where there are no labels.
        labelled: `[examples]`, bool, whether a row has labels.
    """

    tokens: TokenTable
    rows: IntArray
    taught: Floats
    targets: Floats
    labelled: npt.NDArray[np.bool_]

    @property
    def lengths(self) -> IntArray:
        """`[examples]`, tokens of each."""
        return self.tokens.lengths[self.rows]

    def fingerprint(self) -> str:
        """Changes whenever any example does."""
        return fingerprint_arrays(
            self.tokens.ids, self.tokens.starts, self.rows, self.taught, self.targets, self.labelled
        )

    def batch(self, rows: IntArray, draw: np.random.Generator) -> dict[str, Tensor]:  # noqa: ARG002 - nothing is random
        """`input_ids`, `attention_mask`, `taught`, `targets`, `labelled` of some examples."""
        input_ids, attention_mask = self.tokens.pad(self.rows[rows])
        return {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "taught": torch.from_numpy(self.taught[rows]),
            "targets": torch.from_numpy(self.targets[rows]),
            "labelled": torch.from_numpy(self.labelled[rows]),
        }


def transfer_set(tokens: TokenTable, rows: IntArray, probabilities: Floats, targets: Floats) -> DistillationExamples:
    """Put together what a student learns from.

    Args:
        tokens: All rows of the records.
        rows: `[examples]`, int64, the rows of `tokens` to learn from, those with labels first.
        probabilities: `[examples, labels]`, of the teachers.
        targets: `[labelled, labels]`, 0 or 1, of the rows with labels.

    Raises:
        ValueError: The teachers spoke of another number of rows.
    """
    if len(rows) != len(probabilities):
        raise ValueError(f"the teachers gave {len(probabilities)} rows for {len(rows)} rows to learn from")
    padded = np.zeros_like(probabilities, dtype=np.float32)
    padded[: len(targets)] = targets
    labelled = np.arange(len(rows)) < len(targets)
    return DistillationExamples(tokens, rows, teacher_logits(probabilities), padded, labelled)


class DistillationTask(nn.Module):
    """w soft targets + (1 - w) BCE with the labels; a row without labels has the first part only.

    Args:
        model: The student.
        temperature: T of the soft targets.
        soft_weight: w, in [0, 1].
    """

    def __init__(self, model: Student, temperature: float, soft_weight: float) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature
        self.soft_weight = soft_weight

    def forward(self, batch: dict[str, Tensor], progress: float) -> Tensor:  # noqa: ARG002 - the same all along
        """Scalar loss of one batch."""
        logits = score(self.model, batch["input_ids"], batch["attention_mask"])
        soft = soft_target_loss(logits, batch["taught"], self.temperature)
        hard = bce(logits, batch["targets"], batch["labelled"].to(logits.dtype))
        return self.soft_weight * soft + (1 - self.soft_weight) * hard


def score(model: Student, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Logits of a student, `[batch, labels]`, float32."""
    logits: Tensor = model(input_ids=input_ids, attention_mask=attention_mask).logits
    return logits.float()
