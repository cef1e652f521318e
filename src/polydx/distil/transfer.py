"""The transfer set: rows that a student learns from, and what its teachers say of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from polydx.artifacts import Floats, fingerprint_arrays
from polydx.distil.soft_targets import teacher_logits
from polydx.model.tokens import IntArray, TokenTable


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
        own = fingerprint_arrays(self.rows, self.taught, self.chances, self.targets, self.labelled)
        return self.tokens.fingerprint() + own

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
