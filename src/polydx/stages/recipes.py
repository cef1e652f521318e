"""From a schedule in the settings to the plain values that training takes."""

import torch

from polydx.config import Compute, Schedule
from polydx.train.device import bf16_available
from polydx.train.loop import Recipe


def packs(compute: Compute, device: torch.device, bf16: bool) -> bool:
    """Whether encoders leave out padding (`model/packing.py`) on this device, under bf16 autocast or not."""
    return compute.packing == "on" or (compute.packing == "auto" and device.type == "cuda" and bf16)


def new_recipe(schedule: Schedule, compute: Compute, device: torch.device, seed: int) -> Recipe:
    """What a schedule says, on this device.

    Args:
        schedule: A member's or the student's.
        compute: How often a checkpoint is written.
        device: Decides about bf16 where the schedule leaves it open.
        seed: The job's own.
    """
    return Recipe(
        epochs=schedule.epochs,
        batch_size=schedule.batch_size,
        learning_rate=schedule.learning_rate,
        head_learning_rate=schedule.head_learning_rate,
        weight_decay=schedule.weight_decay,
        warmup_share=schedule.warmup_share,
        clip_norm=schedule.clip_norm,
        bf16=schedule.bf16 == "auto" and bf16_available(device),
        checkpoint_seconds=compute.checkpoint_seconds,
        seed=seed,
    )
