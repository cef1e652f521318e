"""How the labels are spread over the folds."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from polydx.judge.folds import Folds, Integers


@dataclass(frozen=True)
class LabelCoverage:
    """How one label is spread over the fold jobs.

    Attributes:
        positives: Rows with the label.
        groups: Groups of duplicates with the label; groups can't be parted, so these are what is dealt.
        validation_positives: Rows with the label among the validation rows of each job.
    """

    positives: int
    groups: int
    validation_positives: tuple[int, ...]


def coverage(folds: Folds, targets: npt.NDArray[np.float32], groups: Integers) -> list[LabelCoverage]:
    """Count each label's positives in each fold job, in label order."""
    per_job = np.stack([targets[folds.validation(job)].sum(axis=0) for job in range(folds.jobs)])
    return [
        LabelCoverage(
            int(targets[:, label].sum()),
            len(np.unique(groups[targets[:, label] > 0])),
            tuple(int(count) for count in per_job[:, label]),
        )
        for label in range(targets.shape[1])
    ]
