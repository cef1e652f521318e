"""Times one form of a student in a process of its own, so that the peak memory is that form's alone.

    python -m polydx.deploy.measure '{"form": "int8", "path": "…", …}'

Prints JSON. An ONNX form is measured without torch in the process.
"""

import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.deploy.onnx_runtime import IntArray, Scorer, load_onnx

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
        vocabulary: Token ids are drawn below it.
        tokens: Tokens of every record.
        batch: Records in a batch, for the throughput.
        calls: Timed calls with one record, and as many with a batch.
        threads: Threads to compute with.
    """

    form: Form
    path: str
    vocabulary: int
    tokens: int
    batch: int
    calls: int
    threads: int


@dataclass(frozen=True)
class Speed:
    """What was measured.

    Attributes:
        p50_ms: Median latency of one record.
        p99_ms: 99th percentile of it.
        records_a_second: Throughput in batches, by the median batch.
        peak_memory_mb: Largest resident set of the process, the interpreter and libraries included.
    """

    p50_ms: float
    p99_ms: float
    records_a_second: float
    peak_memory_mb: float


def measure(job: Job) -> Speed:
    """Load and time one form."""
    score = load_onnx(Path(job.path), job.threads) if job.form in ONNX_FORMS else _load_torch(job)
    one = _seconds(score, job, 1)
    batch = _seconds(score, job, job.batch)
    p50, p99 = np.percentile(one * 1000, [50, 99])
    rate = job.batch / float(np.median(batch))
    return Speed(round(p50, 3), round(p99, 3), round(rate, 1), round(peak_memory_mb(), 1))


def peak_memory_mb() -> float:
    """Megabytes that this process held at most.

    On Linux `getrusage` also counts what the process that started this one held, so the kernel's own mark is read.
    """
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="ascii")
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _seconds(score: Scorer, job: Job, records: int) -> npt.NDArray[np.float64]:
    """Seconds of each timed call on random tokens: `[calls]`."""
    draw = np.random.default_rng(0)
    input_ids = draw.integers(0, job.vocabulary, (records, job.tokens))
    attention_mask = np.ones_like(input_ids)
    seconds = np.empty(job.calls)
    for call in range(-WARM_UP, job.calls):
        started = time.perf_counter()
        score(input_ids, attention_mask)
        if call >= 0:
            seconds[call] = time.perf_counter() - started
    return seconds


def _load_torch(job: Job) -> Scorer:
    import torch

    from polydx.deploy.student_model import load_model
    from polydx.model.layers import classify
    from polydx.train.device import avoid_broken_amx

    avoid_broken_amx()
    torch.set_num_threads(job.threads)
    model = load_model(Path(job.path))
    module: torch.nn.Module = model
    module.to(torch.bfloat16 if job.form == "bf16" else torch.float32)

    @torch.inference_mode()
    def score(input_ids: IntArray, attention_mask: IntArray) -> Floats:
        found: Floats = classify(model, torch.from_numpy(input_ids), torch.from_numpy(attention_mask)).numpy()
        return found

    return score


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Job(**json.loads(sys.argv[1]))))))
