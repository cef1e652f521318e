"""What one record costs a student, counted rather than timed."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from polydx.deploy.student_model import StudentModel
from polydx.model.attention import attend_by_products
from polydx.model.layers import classify


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
    """Count what a record of `tokens` tokens costs, its last layer run for one token only.

    It attends by products here: a fused kernel has none that could be counted.
    """
    input_ids = torch.ones(1, tokens, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        classify(model, input_ids, torch.ones_like(input_ids), attend_by_products)
    flops = counter.get_total_flops()
    return Costs(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        disk_bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        tokens=tokens,
        flops=flops,
        macs=flops // 2,
    )
