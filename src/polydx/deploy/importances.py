"""What each attention head and feed-forward neuron of a student is worth, measured on rows.

First-order: what the loss would change by if an activation were zero, |sum over tokens of a . dL/da|, a row at a time
(Michel 2019 for heads, Molchanov 2017 for neurons), summed over rows. Without rows: `polydx.model.pruning`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from polydx.deploy.student_model import StudentModel
from polydx.model.layers import body_of, layers_of
from polydx.model.pruning import Importance
from polydx.train.losses import bce

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
    layers, config = layers_of(body_of(model)), model.config
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
