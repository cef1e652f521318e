"""Progress of long work: a live bar at a terminal, a line every ten seconds in a pipe or under the engine."""

import os
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_SECONDS = 10.0
ENGINE_VARIABLE = "POLYDX_UNDER_ENGINE"
"""Set by the Snakefile: several jobs share the terminal then, so each prints lines instead of a bar."""


class Reporter:
    """Counts `total` steps of work called `name`; used as a context manager. Writes to standard error.

    Of several processes that share the work only one is `shown`.
    """

    def __init__(self, name: str, total: int, unit: str, *, shown: bool = True) -> None:
        self.name, self.total, self.unit, self.shown = name, total, unit, shown
        self._done, self._first, self._shown = 0, 0, time.monotonic()
        self._started = self._shown
        self._bar: Progress | None = None

    def __enter__(self) -> "Reporter":
        """Start the clock, and the bar at a terminal."""
        self._started = self._shown = time.monotonic()
        if self.shown and sys.stderr.isatty() and ENGINE_VARIABLE not in os.environ:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._bar.start()
            self._bar.add_task(self.name, total=self.total, note="")
        return self

    def resume_at(self, done: int) -> None:
        """Say that `done` steps were finished by an earlier, interrupted job."""
        self._done = self._first = done

    def step(self, count: int = 1, note: str = "") -> None:
        """Add finished steps; `note` is the current loss or score."""
        self._done += count
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done, note=note)
            return
        now = time.monotonic()
        if self.shown and now - self._shown >= LINE_SECONDS:
            self._shown = now
            rate = (self._done - self._first) / (now - self._started)
            left = (self.total - self._done) / rate if rate > 0 else float("nan")
            print(
                f"{self.name}: {self._done}/{self.total} {self.unit}, {rate:.1f}/s, {left:.0f} s left {note}".rstrip(),
                file=sys.stderr,
                flush=True,
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar down."""
        if self._bar is not None:
            self._bar.stop()
