"""Whole attention heads and feed-forward neurons taken out, the least important first.

Importance is first-order: what the loss would change by if an activation were zero, |sum over tokens of a . dL/da|, a
row at a time (Michel 2019 for heads, Molchanov 2017 for neurons), summed over rows.
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from polydx.deploy.student_model import StudentModel
from polydx.train.losses import bce

Importance = npt.NDArray[np.float64]
Kept = Sequence[Sequence[int]]
"""For each layer, rising, the numbers of what stays."""
Batch = tuple[Tensor, Tensor, Tensor]
"""`input_ids`, `attention_mask` (`[batch, tokens]`, int64) and targets (`[batch, labels]`, float32 in [0, 1])."""


@dataclass(frozen=True)
class Importances:
    """What each part is worth: `heads` `[layers, heads]` and `neurons` `[layers, intermediate]`, float64."""

    heads: Importance
    neurons: Importance


def importances(model: StudentModel, batches: Iterable[Batch]) -> Importances:
    """Measure importances on rows that the model may learn from.

    Args:
        model: In evaluation mode.
        batches: Rows; each row counts the same, whatever its batch's size.
    """
    layers, config = _layers(model), model.config
    heads = np.zeros((len(layers), config.num_attention_heads))
    neurons = np.zeros((len(layers), config.intermediate_size))
    for input_ids, attention_mask, targets in batches:
        contexts, activations = _Inputs(layers, "attention.output.dense"), _Inputs(layers, "output.dense")
        with contexts, activations:
            logits: Tensor = model(input_ids=input_ids, attention_mask=attention_mask).logits
        loss = bce(logits, targets, torch.ones(len(targets))) * len(targets)
        captured = [*contexts.found, *activations.found]
        products = [a * g for a, g in zip(captured, torch.autograd.grad(loss, captured), strict=True)]
        for layer, product in enumerate(products[: len(layers)]):
            by_head = product.unflatten(-1, (config.num_attention_heads, -1)).sum((1, 3)).abs().sum(0)
            heads[layer] += by_head.detach().double().numpy()
        for layer, product in enumerate(products[len(layers) :]):
            neurons[layer] += product.sum(1).abs().sum(0).detach().double().numpy()
    return Importances(heads, neurons)


def most_important(values: Importance, share: float) -> list[list[int]]:
    """Name, for each layer, its most important parts: the same number everywhere, at least one.

    Args:
        values: `[layers, parts]`.
        share: Share of the parts to keep, in (0, 1].
    """
    count = max(1, round(share * values.shape[1]))
    order = np.argsort(-values, axis=1, kind="stable")[:, :count]
    return [sorted(kept.tolist()) for kept in order]


def keep_neurons(model: StudentModel, kept: Kept) -> StudentModel:
    """Copy a student with only some feed-forward neurons; a stock class still, since every layer keeps as many.

    Raises:
        ValueError: The layers keep different numbers.
    """
    counts = {len(neurons) for neurons in kept}
    if len(counts) != 1:
        raise ValueError(f"layers keep {sorted(counts)} neurons; a stock class needs as many in each")
    smaller = copy.deepcopy(model)
    for layer, neurons in zip(_layers(smaller), kept, strict=True):
        _replace(layer, "intermediate.dense", _rows, neurons)
        _replace(layer, "output.dense", _columns, neurons)
    smaller.config.intermediate_size = counts.pop()
    return smaller


def keep_heads(model: StudentModel, kept: Kept) -> StudentModel:
    """Copy a student with only some attention heads.

    A stock class's heads fill its width, so what comes out can't be saved as one: it ships as ONNX.
    """
    smaller = copy.deepcopy(model)
    size = model.config.hidden_size // model.config.num_attention_heads
    for layer, heads in zip(_layers(smaller), kept, strict=True):
        numbers = [head * size + place for head in heads for place in range(size)]
        for name in ("query", "key", "value"):
            _replace(layer, f"attention.self.{name}", _rows, numbers)
        _replace(layer, "attention.output.dense", _columns, numbers)
    return smaller


class _Inputs:
    """Catches what a submodule of every layer is fed; a context manager.

    Attributes:
        found: The inputs, in the order of the layers.
    """

    def __init__(self, layers: Sequence[nn.Module], name: str) -> None:
        self._modules = [layer.get_submodule(name) for layer in layers]
        self.found: list[Tensor] = []

    def __enter__(self) -> "_Inputs":
        """Start catching."""

        def catch(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self.found.append(inputs[0])

        self._hooks = [module.register_forward_pre_hook(catch) for module in self._modules]
        return self

    def __exit__(self, *_: object) -> None:
        """Stop catching."""
        for hook in self._hooks:
            hook.remove()


def _layers(model: StudentModel) -> list[nn.Module]:
    return list(model.base_model.get_submodule("encoder.layer").children())


def _replace(
    layer: nn.Module, name: str, cut: Callable[[nn.Linear, Sequence[int]], nn.Linear], kept: Sequence[int]
) -> None:
    parent, _, attribute = name.rpartition(".")
    holder = layer.get_submodule(parent)
    linear = holder.get_submodule(attribute)
    if not isinstance(linear, nn.Linear):
        raise TypeError(f"{name} is a {type(linear).__name__}")
    setattr(holder, attribute, cut(linear, kept))


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
