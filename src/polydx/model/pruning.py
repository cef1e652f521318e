"""Whole attention heads and feed-forward neurons taken out of an encoder, or of a model that has one."""

import copy
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from polydx.model.layers import body_of, layers_of

Importance = npt.NDArray[np.float64]
"""`[layers, parts]`: what each part is worth, beside the others of its layer."""
Kept = Sequence[Sequence[int]]
"""For each layer, rising, the numbers of what stays."""
Model = TypeVar("Model", bound=PreTrainedModel)


@torch.no_grad()
def neuron_strengths(model: PreTrainedModel) -> Importance:
    """How much a neuron can do, as its weights alone tell: |weights in| |weights out|, `[layers, intermediate]`.

    A neuron adds act(w x + b) v to its layer's sum: for inputs of one length, |w| |v| bounds what it changes. Enough to
    choose what training goes on from; what ships untrained is worth measuring: `polydx.deploy.importances`.
    """

    def strengths(layer: nn.Module) -> Tensor:
        reading, writing = _linear_at(layer, "intermediate.dense").weight, _linear_at(layer, "output.dense").weight
        found: Tensor = torch.linalg.vector_norm(reading, dim=1) * torch.linalg.vector_norm(writing, dim=0)
        return found

    return torch.stack([strengths(layer) for layer in layers_of(body_of(model))]).double().numpy()


def most_important(values: Importance, share: float) -> list[list[int]]:
    """Name, for each layer, its most important parts: the same number everywhere, at least one.

    Args:
        values: `[layers, parts]`.
        share: Share of the parts to keep, in (0, 1].
    """
    count = max(1, round(share * values.shape[1]))
    order = np.argsort(-values, axis=1, kind="stable")[:, :count]
    return [sorted(kept.tolist()) for kept in order]


def keep_neurons(model: Model, kept: Kept) -> Model:
    """Copy a model with only some feed-forward neurons; a stock class still, since every layer keeps as many.

    Raises:
        ValueError: The layers keep different numbers.
    """
    counts = {len(neurons) for neurons in kept}
    if len(counts) != 1:
        raise ValueError(f"layers keep {sorted(counts)} neurons; a stock class needs as many in each")
    smaller = copy.deepcopy(model)
    for layer, neurons in zip(layers_of(body_of(smaller)), kept, strict=True):
        _replace(layer, "intermediate.dense", _rows, neurons)
        _replace(layer, "output.dense", _columns, neurons)
    smaller.config.intermediate_size = counts.pop()
    return smaller


def keep_heads(model: Model, kept: Kept) -> Model:
    """Copy a model with only some attention heads.

    A stock class's heads fill its width, so what comes out can't be saved as one: it ships as ONNX.
    """
    smaller = copy.deepcopy(model)
    size = model.config.hidden_size // model.config.num_attention_heads
    for layer, heads in zip(layers_of(body_of(smaller)), kept, strict=True):
        numbers = [head * size + place for head in heads for place in range(size)]
        for name in ("query", "key", "value"):
            _replace(layer, f"attention.self.{name}", _rows, numbers)
        _replace(layer, "attention.output.dense", _columns, numbers)
    return smaller


def _replace(
    layer: nn.Module, name: str, cut: Callable[[nn.Linear, Sequence[int]], nn.Linear], kept: Sequence[int]
) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(layer.get_submodule(parent), attribute, cut(_linear_at(layer, name), kept))


def _linear_at(layer: nn.Module, name: str) -> nn.Linear:
    linear = layer.get_submodule(name)
    if not isinstance(linear, nn.Linear):
        raise TypeError(f"{name} is a {type(linear).__name__}")
    return linear


def _rows(linear: nn.Linear, kept: Sequence[int]) -> nn.Linear:
    """Keep some outputs."""
    return _linear(linear.weight[list(kept)], linear.bias[list(kept)])


def _columns(linear: nn.Linear, kept: Sequence[int]) -> nn.Linear:
    """Keep some inputs."""
    return _linear(linear.weight[:, list(kept)], linear.bias)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    smaller = nn.Linear(weight.shape[1], weight.shape[0])
    smaller.weight = nn.Parameter(weight.detach().clone().contiguous())
    smaller.bias = nn.Parameter(bias.detach().clone())
    return smaller
