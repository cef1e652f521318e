from pathlib import Path

import pytest
import torch
import yaml

from polydx.config import Compute
from polydx.stages.recipes import packs

BASE = yaml.safe_load((Path(__file__).parents[2] / "configs" / "base.yaml").read_text(encoding="utf-8"))["compute"]
CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("packing", "device", "bf16", "expected"),
    [
        ("auto", CPU, True, False),
        ("auto", GPU, False, False),
        ("auto", GPU, True, True),
        ("on", CPU, False, True),
        ("off", GPU, True, False),
        # What YAML makes of a bare on and off.
        (True, CPU, False, True),
        (False, GPU, True, False),
    ],
)
def test_batches_are_packed_on_a_gpu_in_bf16_or_as_told(
    packing: str | bool, device: torch.device, bf16: bool, expected: bool
) -> None:
    assert packs(Compute.model_validate(BASE | {"packing": packing}), device, bf16) == expected
