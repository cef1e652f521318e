"""The settings of a run: one frozen model, checked before any work.

A configuration file holds only its differences from `configs/base.yaml`, which spells out every value. Members and
encoders are named entries; each is laid over the defaults of its kind (`encoder_defaults`, `transformer_defaults`,
`linear_defaults`), so that a file says only what is special about it.
"""

from polydx.config.base import Schedule, Section, sections
from polydx.config.data import Clean, Columns, Contest, Inspect, SampleSize, Split
from polydx.config.members import Adversary, LinearMember, Losses, TransformerMember
from polydx.config.settings import Compute, Encoder, Pretrain, Pseudo, Run, Settings, Stack, Submit
from polydx.config.student import Compress, Distil, Lessons

__all__ = [
    "Adversary",
    "Clean",
    "Columns",
    "Compress",
    "Compute",
    "Contest",
    "Distil",
    "Encoder",
    "Inspect",
    "Lessons",
    "LinearMember",
    "Losses",
    "Pretrain",
    "Pseudo",
    "Run",
    "SampleSize",
    "Schedule",
    "Section",
    "Settings",
    "Split",
    "Stack",
    "Submit",
    "TransformerMember",
    "sections",
]
