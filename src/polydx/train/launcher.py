"""What a launcher (torchrun, accelerate) tells each of the processes that it starts for one job; needs no torch."""

import os

SIZE_VARIABLE = "WORLD_SIZE"
RANK_VARIABLE = "RANK"


def started_processes() -> int:
    """How many processes a launcher started for this job; 1 without a launcher."""
    return int(os.environ.get(SIZE_VARIABLE, "1"))


def is_helper() -> bool:
    """Whether another process of this job is its first, which does what can't be shared and writes the files."""
    return started_processes() > 1 and int(os.environ.get(RANK_VARIABLE, "0")) > 0
