"""Processors that claim AMX and die of it."""

import faulthandler
import os
import resource

import torch

ISA_VARIABLE = "ONEDNN_MAX_CPU_ISA"


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
