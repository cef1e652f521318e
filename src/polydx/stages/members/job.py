"""What the fit of a member is handed, and what it hands back."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.config import Compute, Pseudo
from polydx.paths import FoldFiles, RunPaths

IntArray = npt.NDArray[np.int64]
Predict = Callable[[IntArray], Floats]
"""Probabilities `[rows, labels]` of some places among all records."""


@dataclass(frozen=True)
class FoldRows:
    """Places, among all records, of the rows of one fold job; int64.

    Attributes:
        groups: `[training]`; rows with equal values are near copies.
        pseudo: The pseudo-labelled rows, among `test` and `unlabelled`.
        targets: `[training + pseudo, labels]`, float32 in [0, 1].
    """

    training: IntArray
    groups: IntArray
    validation: IntArray
    test: IntArray
    unlabelled: IntArray
    pseudo: IntArray
    targets: Floats

    @property
    def learned(self) -> IntArray:
        """Rows that the model trains on, in the order of `targets`."""
        return np.concatenate([self.training, self.pseudo])

    @property
    def is_pseudo(self) -> npt.NDArray[np.bool_]:
        """`[training + pseudo]`: whether a row's targets are pseudo-labels."""
        return np.arange(len(self.targets)) >= len(self.training)


@dataclass(frozen=True)
class FoldJob:
    """One member's training on one fold in one round.

    Attributes:
        member: Its name.
        pseudo: Settings of the pseudo-labels; None in round 0.
        seed: The run's seed; the job's own is derived from it.
        code: Hash of the code behind the stage.
    """

    member: str
    round_number: int
    fold: int
    rows: FoldRows
    pseudo: Pseudo | None
    compute: Compute
    paths: RunPaths
    seed: int
    code: str

    @property
    def name(self) -> str:
        """What progress lines and the job's seed call it."""
        return f"{self.member}-round{self.round_number}-fold{self.fold}"

    @property
    def files(self) -> FoldFiles:
        """What it writes."""
        return self.paths.fold_model(self.member, self.round_number, self.fold)

    @property
    def checkpoint(self) -> Path:
        """Its state while it runs."""
        return self.paths.checkpoints(f"finetune-{self.name}")

    @property
    def previous(self) -> Path | None:
        """The model of the round before, where training goes on from it."""
        if self.pseudo is None or not self.pseudo.continue_weights:
            return None
        return self.paths.fold_model(self.member, self.round_number - 1, self.fold).model


class Fitted(NamedTuple):
    """A trained member: how it predicts, and figures for the report."""

    predict: Predict
    figures: dict[str, float]
