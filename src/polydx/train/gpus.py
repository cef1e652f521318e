"""Which GPU a job gets: one that no other job has claimed, so that folds side by side lie on different GPUs.

The engine starts no more neural jobs at a time than there are GPUs, but doesn't say which one is whose. So a job locks
a file that stands for a GPU, for as long as it lives: the system unlocks it however the job ends.
"""

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

VISIBLE_VARIABLE = "CUDA_VISIBLE_DEVICES"
WAIT_SECONDS = 1.0
"""Between two looks for a GPU that has become free."""


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, named as `VISIBLE_VARIABLE` names them; CUDA isn't started."""
    # Takes seconds, which a run on the CPU needn't spend.
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get(VISIBLE_VARIABLE)
    names = map(str, range(count)) if named is None else (name.strip() for name in named.split(","))
    # What follows the first name that CUDA doesn't know isn't counted.
    return tuple(names)[:count]


@cache
def claim_gpu() -> None:
    """Claim one of the visible GPUs, if there is any, for the rest of this process, and show it no other.

    Must run before CUDA starts, which reads once what is visible. Where all are taken it waits for one.
    """
    if names := visible_gpus():
        os.environ[VISIBLE_VARIABLE] = claim(names, Path(tempfile.gettempdir()) / f"polydx-gpus-{os.getuid()}")


def claim(names: Sequence[str], folder: Path) -> str:
    """Return the first GPU that no process holds, and hold it until this process ends.

    Who sees a single GPU was given it, by the user or by a cluster that numbers each job's own from 0, and takes it
    whether it is held or not.

    Args:
        names: The GPUs to choose from; one at least.
        folder: Holds the locked files; made if need be, and common to all who compete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    waits = False
    while True:
        for name in names:
            if _lock(folder / f"{name}.lock"):
                return name
        if len(names) == 1:
            return names[0]
        if not waits:
            print(f"all of GPU {', '.join(names)} are taken by other jobs; waiting for one", file=sys.stderr)
            waits = True
        time.sleep(WAIT_SECONDS)


def _lock(file: Path) -> bool:
    """Lock a file until this process ends, unless it is locked. Programs that this one starts don't inherit it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True
