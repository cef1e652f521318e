"""What one record costs a student, counted rather than timed."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from polydx.deploy.student_model import StudentModel


@dataclass(frozen=True)
class Costs:
    """Counted costs.

    Attributes:
        parameters: Numbers in the model.
        disk_bytes: Bytes of all files in its folder.
        tokens: Length of the record that the next two are of.
        flops: Floating-point operations of its matrix products, two to each multiplication with addition; norms,
            softmax, activations and look-ups are left out, as is usual.
        macs: Multiplications with addition: half of them.
    """

    parameters: int
    disk_bytes: int
    tokens: int
    flops: int
    macs: int


def count_costs(model: StudentModel, folder: Path, tokens: int) -> Costs:
    """Count what a record of `tokens` tokens costs; the model's attention is eager afterwards.

    Fused attention has no product that could be counted.
    """
    model.set_attn_implementation("eager")
    input_ids = torch.ones(1, tokens, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=input_ids, attention_mask=torch.ones_like(input_ids))
    flops = counter.get_total_flops()
    return Costs(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        disk_bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        tokens=tokens,
        flops=flops,
        macs=flops // 2,
    )
