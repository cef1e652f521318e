"""Times one form of a student in a process of its own, so that the peak memory is that form's alone.

    python -m polydx.deploy.measure '{"form": "int8", "path": "…", …}'

Prints a JSON list. An ONNX form is measured without torch in the process.
"""

import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.deploy.onnx_runtime import Batch, IntArray, Scorer, load_onnx
from polydx.deploy.timed_batches import TimedBatches, read_batches

Form = Literal["fp32", "bf16", "onnx", "int8", "int8-static"]
ONNX_FORMS: tuple[Form, ...] = ("onnx", "int8", "int8-static")
WARM_UP = 3
"""First calls that are not timed."""


@dataclass(frozen=True)
class Job:
    """What to measure.

    Attributes:
        form: The form.
        path: The student's folder for torch's forms, the file for ONNX.
        batches: The file of the batches to time.
        calls: Timed calls with one record, and as many with a batch; each batch is timed once at least.
        threads: Threads to compute with.
        exit_speeds: Time the student at these speeds of its early exits instead of without exits.
    """

    form: Form
    path: str
    batches: str
    calls: int
    threads: int
    exit_speeds: Sequence[float] = ()


@dataclass(frozen=True)
class Speed:
    """What was measured.

    Attributes:
        p50_ms: Median latency of one record.
        p99_ms: 99th percentile of it.
        records_a_second: Throughput over all batches, by each one's median call.
        peak_memory_mb: Largest resident set of the process so far, the interpreter and libraries included.
    """

    p50_ms: float
    p99_ms: float
    records_a_second: float
    peak_memory_mb: float


def measure(job: Job) -> list[Speed]:
    """Load one form and time it; one entry, or one for each speed of its early exits."""
    timed = read_batches(Path(job.batches))
    return [_time(score, timed, job.calls) for score in _scorers(job)]


def peak_memory_mb() -> float:
    """Megabytes that this process held at most.

    On Linux `getrusage` also counts what the process that started this one held, so the kernel's own mark is read.
    """
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="ascii")
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _time(score: Scorer, timed: TimedBatches, calls: int) -> Speed:
    p50, p99 = np.percentile(_seconds(score, timed.ones, calls) * 1000, [50, 99])
    passes = max(1, calls // len(timed.batches))
    seconds = _seconds(score, timed.batches, passes * len(timed.batches)).reshape(passes, -1)
    rate = sum(len(input_ids) for input_ids, _ in timed.batches) / float(np.median(seconds, axis=0).sum())
    return Speed(round(p50, 3), round(p99, 3), round(rate, 1), round(peak_memory_mb(), 1))


def _seconds(score: Scorer, batches: Sequence[Batch], calls: int) -> npt.NDArray[np.float64]:
    """Seconds of each timed call, on the batches in turn: `[calls]`."""
    seconds = np.empty(calls)
    for call in range(-WARM_UP, calls):
        input_ids, attention_mask = batches[call % len(batches)]
        started = time.perf_counter()
        score(input_ids, attention_mask)
        if call >= 0:
            seconds[call] = time.perf_counter() - started
    return seconds


def _scorers(job: Job) -> list[Scorer]:
    return [load_onnx(Path(job.path), job.threads)] if job.form in ONNX_FORMS else _torch_scorers(job)


def _torch_scorers(job: Job) -> list[Scorer]:
    import torch

    from polydx.deploy.student_model import EarlyExits, load_early_exits, load_model, stock_logits
    from polydx.model.amx import avoid_broken_amx

    avoid_broken_amx()
    torch.set_num_threads(job.threads)
    folder = Path(job.path)
    model = load_model(folder)
    module: torch.nn.Module = model
    module.to(torch.bfloat16 if job.form == "bf16" else torch.float32)

    def scorer(early: EarlyExits | None) -> Scorer:
        @torch.inference_mode()
        def score(input_ids: IntArray, attention_mask: IntArray) -> Floats:
            batch = torch.from_numpy(input_ids), torch.from_numpy(attention_mask)
            found: Floats = stock_logits(model, early, *batch).numpy()
            return found

        return score

    if not job.exit_speeds:
        return [scorer(None)]
    return [scorer(load_early_exits(folder, speed)) for speed in job.exit_speeds]


if __name__ == "__main__":
    print(json.dumps([asdict(speed) for speed in measure(Job(**json.loads(sys.argv[1])))]))
