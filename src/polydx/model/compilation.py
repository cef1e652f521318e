"""Encoder layers compiled by `torch.compile`, which fuses what lies between their matrix products."""

import os
import shutil

import torch
from transformers import PreTrainedModel

from polydx.errors import UserError
from polydx.model.layers import layers_of


def compile_layers(encoder: PreTrainedModel, device: torch.device) -> None:
    """Compile each layer of an encoder at its first call; layers share what is compiled, for all lengths.

    Layer by layer: one is soon compiled, and what is outside of them stays as it is, hooks of perturbations on the word
    embeddings included. Modules are compiled in place, so no weight's name changes.

    Args:
        encoder: A `BertModel` or `ErnieModel`.
        device: Where it will run.

    Raises:
        UserError: There is no compiler to compile with.
    """
    if device.type == "cpu" and not compiler_found():
        fix = "install g++, name another in the variable CXX, or set it to false"
        raise UserError("compute.compile", "is true, but there is no C++ compiler", fix)
    for layer in layers_of(encoder):
        layer.compile(dynamic=True)


def compiler_found() -> bool:
    """Whether the C++ compiler that `torch.compile` calls on a CPU is installed."""
    return shutil.which(os.environ.get("CXX", "g++")) is not None
