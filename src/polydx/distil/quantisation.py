"""Quantisation-aware distillation: a student learns while its products are rounded as int8 will round them.

Weights are rounded to whole steps of one scale for each output, inputs to those of one scale and zero point a batch,
from the range that the batch shows: what ONNX's dynamic int8 does (`polydx.deploy.onnx_models`). Attention's own
products, norms and embeddings stay as they are, here as there. The weights before rounding are kept and shipped.

Rounding has no gradient of use; the straight-through estimator takes it for the identity (Jacob 2018). The teacher
isn't rounded; TernaryBERT (Zhang 2020) lets its hidden states and attention teach too, which `distil.lessons` do here.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

WEIGHT_STEPS = 127
"""Of a weight to either side of 0: int8 without its lowest value, so that 0 stays 0."""
INPUT_STEPS = 255
"""Of an input from its lowest to its highest value: uint8."""


def round_weights(weight: Tensor) -> Tensor:
    """Round each row of a weight to whole steps of max |row| / 127.

    Args:
        weight: `[outputs, inputs]`, float32.

    Returns:
        The same shape; the gradient passes as if nothing had been rounded.
    """
    scale = _scale(weight.detach().abs().amax(dim=1, keepdim=True) / WEIGHT_STEPS)
    return _straight_through(weight, (weight / scale).round() * scale)


def round_inputs(inputs: Tensor) -> Tensor:
    """Round to whole steps of (highest - lowest) / 255, both taken over all values and 0 (`DynamicQuantizeLinear`).

    Args:
        inputs: Any shape, float32; padding counts, as it does in the exported model.

    Returns:
        The same shape; the gradient passes as if nothing had been rounded.
    """
    lowest, highest = inputs.detach().amin().clamp(max=0.0), inputs.detach().amax().clamp(min=0.0)
    scale = _scale((highest - lowest) / INPUT_STEPS)
    zero = (-lowest / scale).round()
    steps = ((inputs / scale).round() + zero).clamp(0, INPUT_STEPS)
    return _straight_through(inputs, (steps - zero) * scale)


def int8_linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`functional.linear` of rounded inputs and weights, float32: int8 products are added up exactly, bf16 ones not."""
    with torch.autocast(inputs.device.type, enabled=False):
        return functional.linear(round_inputs(inputs.float()), round_weights(weight), bias)


class Int8Products(TorchFunctionMode):
    """Inside this context every linear layer multiplies by `int8_linear`; no module is changed."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[Tensor] = (),
        kwargs: Mapping[str, Tensor] | None = None,
    ) -> object:
        """Stand in for `functional.linear` alone."""
        chosen: Callable[..., object] = int8_linear if func is functional.linear else func
        return chosen(*args, **(kwargs or {}))


def _scale(scale: Tensor) -> Tensor:
    """A scale, 1 where there is next to nothing to be scaled."""
    return torch.where(scale < torch.finfo(scale.dtype).tiny, 1.0, scale)


def _straight_through(value: Tensor, rounded: Tensor) -> Tensor:
    """`rounded` with the gradient of `value`."""
    return value + (rounded - value).detach()
