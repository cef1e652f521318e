"""A ledger's jobs, side by side in processes of their own."""

import multiprocessing
import multiprocessing.connection
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

from polydx.errors import UserError

Job = TypeVar("Job")


def do_all(jobs: Sequence[Job], do: Callable[[Job], str], workers: int, deadline: float, log: Path) -> Iterator[str]:
    """Do jobs side by side, none starting after the deadline; yields the names of finished ones.

    Args:
        jobs: In the order of their start.
        do: Does one and gives its name; importable, since it runs in a process of its own.
        workers: How many at a time.
        deadline: By `time.monotonic`.
        log: File that their progress goes to.
    """
    waiting, running = deque(jobs), set[Future[str]]()
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, fresh, initializer=start_worker, initargs=(log,)) as pool:
        while True:
            while waiting and len(running) < workers and time.monotonic() < deadline:
                running.add(pool.submit(shielded, do, waiting.popleft()))
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()


def shielded(do: Callable[[Job], str], job: Job) -> str:
    """Do a job; a user's error becomes a plain one, since with its three parts it would not survive the way back."""
    try:
        return do(job)
    except UserError as error:
        raise RuntimeError(str(error)) from None


def start_worker(log: Path) -> None:
    """Send this process's progress to the log, and let it die with its parent, which may be killed at any moment."""
    sys.stderr = log.open("a", buffering=1, encoding="utf-8")
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
