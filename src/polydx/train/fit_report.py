"""How a training job went, and the clock that its speeds are taken by."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from polydx.model.tokens import IntArray

CLOCK_SECONDS = 1e-6
"""Less than any step takes, and more than nothing, where no step was left to do."""


@dataclass(frozen=True)
class FitReport:
    """How training went.

    `final_loss` is the mean over the last tenth of the steps, or the last step's where patience ended training. Speeds
    are of the steps since the job last started, all processes together, without what watching a score took; tokens are
    those of the records, and `padding_share` is what padding adds to them in this process's batches, of which the
    encoder's layers compute nothing where batches are packed (`model/packing.py`).
    """

    steps: int
    seconds: float
    final_loss: float
    adversarial_steps: int
    padding_share: float
    examples_per_second: float
    tokens_per_second: float


class StepClock:
    """Counts seconds from when it is made, without its pauses."""

    def __init__(self) -> None:
        self._began, self._paused = time.monotonic(), 0.0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out what happens inside."""
        since = time.monotonic()
        yield
        self._paused += time.monotonic() - since

    def seconds(self) -> float:
        """Seconds counted so far, more than 0."""
        return max(time.monotonic() - self._began - self._paused, CLOCK_SECONDS)


def speeds(lengths: IntArray, steps: Sequence[IntArray], seconds: float) -> tuple[float, float]:
    """Examples and tokens a second.

    Args:
        lengths: `[examples]`, tokens of each.
        steps: Rows of each step that was done.
        seconds: What they took.
    """
    examples = sum(len(rows) for rows in steps)
    tokens = sum(int(lengths[rows].sum()) for rows in steps)
    return round(examples / seconds, 1), round(tokens / seconds, 1)
