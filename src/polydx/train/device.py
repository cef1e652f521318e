"""Where a neural job runs, and how many cores it takes."""

import faulthandler
import hashlib
import os
import resource
import time
from functools import cache

import torch

from polydx.errors import UserError

ISA_VARIABLE = "ONEDNN_MAX_CPU_ISA"

BF16_PAYS = 1.3
"""A bf16 product must be so many times faster than an fp32 one: the casts around it cost too."""

RATE_SECONDS = 0.1
"""How long products are timed for."""
RATE_SIZES = {"cpu": 1024, "cuda": 8192}
"""Rows and columns of a product that keeps a device busy, by its type."""


def prepare(threads: int, seed: int) -> None:
    """Bound the process to `threads` cores and seed torch; same seed and threads give the same bytes."""
    avoid_broken_amx()
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    # It would fill every new tensor with NaN, 4% of a step here, to show reads of memory that nobody wrote.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def avoid_broken_amx() -> None:
    """Keep oneDNN off AMX where the processor claims to have it but an AMX product dies of an illegal instruction.

    Some virtual machines announce AMX without describing its tiles (CPUID leaf 0x1D). A forked child tries one product,
    so this process survives the answer. Must run before this process's first matrix product, when oneDNN settles.
    """
    if ISA_VARIABLE in os.environ or not torch.cpu.get_capabilities().get("amx_bf16"):
        return
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        square = torch.ones(64, 64, dtype=torch.bfloat16)
        torch.mm(square, square)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status != 0:
        os.environ[ISA_VARIABLE] = "AVX512_CORE_FP16"


def pick_device(name: str) -> torch.device:
    """Turn the setting `compute.device` into a device.

    Raises:
        UserError: When `cuda` is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("compute.device", "is cuda, but no GPU is visible", "use auto or cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda")


def bf16_available(device: torch.device) -> bool:
    """Whether bf16 matrix products pay: a GPU of compute capability 8, or a core on which they are measured faster.

    A core's flags don't tell. AMX multiplies the rate by eight, a Zen 4 core's bf16 dot products double it, and some
    cores with the same dot products are slower with them than in fp32. The gap is wide either way, so the fastest of
    ten short products, taken in turn, tells the same at every start, also on a busy machine.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    seconds = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    rows, columns = torch.ones(256, 768), torch.ones(768, 768)
    for _ in range(10):
        for dtype in seconds:
            left, right = rows.to(dtype), columns.to(dtype)
            started = time.perf_counter()
            torch.mm(left, right)
            seconds[dtype] = min(seconds[dtype], time.perf_counter() - started)
    return seconds[torch.float32] > BF16_PAYS * seconds[torch.bfloat16]


@cache
def matrix_rate(device: torch.device, bf16: bool) -> float:
    """FLOPs a second of matrix products in the precision that training multiplies in.

    The fastest product of `RATE_SECONDS`, on as many cores as threads are set. Nothing is drawn from torch's own
    generator, so that no result changes; a process measures once.
    """
    size, dtype = RATE_SIZES[device.type], torch.bfloat16 if bf16 else torch.float32
    draw = torch.Generator(device).manual_seed(0)
    left, right = (torch.rand(size, size, generator=draw, device=device).to(dtype) for _ in range(2))
    fastest = float("inf")
    began = time.perf_counter()
    while time.perf_counter() - began < RATE_SECONDS:
        _wait_for(device)
        started = time.perf_counter()
        torch.mm(left, right)
        _wait_for(device)
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * size**3 / fastest


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def job_seed(seed: int, job: str) -> int:
    """Derive a job's own seed from the run's, so that no two jobs draw the same weights and masks."""
    return int.from_bytes(hashlib.sha256(f"{seed} {job}".encode()).digest()[:6], "big")
