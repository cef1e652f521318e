"""Names that settings and the library both write down, and neither may import from the other."""

from typing import Literal

LossName = Literal[
    "bce", "soft_f1", "clamped_soft_f1", "sigmoid_f1", "asl", "focal", "distribution_balanced", "zlpr", "hamming"
]
"""What a member can minimise; the functions of the same names stand in `train/losses/`."""
