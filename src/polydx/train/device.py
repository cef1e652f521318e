"""Where a neural job runs, and how many cores it takes."""

import faulthandler
import hashlib
import os
import resource

import torch

from polydx.errors import UserError

ISA_VARIABLE = "ONEDNN_MAX_CPU_ISA"


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
    """Whether bf16 matrix products are faster than fp32 ones: a GPU of compute capability 8, or a core with AMX.

    A core with bf16 dot products but no AMX has them in hardware too, and is slower with them than in fp32.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu.get_capabilities().get("amx_bf16")) and ISA_VARIABLE not in os.environ


def job_seed(seed: int, job: str) -> int:
    """Derive a job's own seed from the run's, so that no two jobs draw the same weights and masks."""
    return int.from_bytes(hashlib.sha256(f"{seed} {job}".encode()).digest()[:6], "big")
