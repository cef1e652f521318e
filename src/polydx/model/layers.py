"""The layers of a BERT or ERNIE, run one by one: for the first token only, or keeping what each layer shows.

A stock classification head reads the first token's last hidden state and nothing else, yet a stock model computes the
last layer for every token. Of the others only keys and values are needed: a sixth of the layer's work.
"""

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from transformers import PreTrainedModel

from polydx.model.attention import Attend, attend


@dataclass(frozen=True)
class LayerTrace:
    """What one layer shows.

    Attributes:
        query: `[batch, heads, tokens, head width]`.
        key: Likewise.
        value: Likewise.
        hidden: `[batch, tokens, width]`, what leaves the layer.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    hidden: Tensor


@dataclass(frozen=True)
class Trace:
    """What an encoder shows on its way.

    Attributes:
        embedded: `[batch, tokens, width]`, what enters the first layer.
        layers: From the bottom.
    """

    embedded: Tensor
    layers: tuple[LayerTrace, ...]


def body_of(model: PreTrainedModel) -> PreTrainedModel:
    """The encoder below a model's head.

    Raises:
        TypeError: There is none.
    """
    body = model.base_model
    if not isinstance(body, PreTrainedModel):
        raise TypeError(f"{type(model).__name__} has no encoder")
    return body


def embed(base: PreTrainedModel, input_ids: Tensor) -> Tensor:
    """Embedded tokens `[batch, tokens, width]` of `input_ids` `[batch, tokens]`, before the first layer."""
    embedded: Tensor = base.get_submodule("embeddings")(input_ids=input_ids)
    return embedded


def layers_of(base: PreTrainedModel) -> list[nn.Module]:
    """The layers of a BERT or ERNIE, from the bottom."""
    return list(cast("nn.ModuleList", base.get_submodule("encoder.layer")))


def key_mask(attention_mask: Tensor) -> Tensor:
    """What `attend` takes: `[batch, 1, 1, tokens]`, bool, True for real tokens."""
    return attention_mask.bool()[:, None, None, :]


def run_layer(layer: nn.Module, hidden: Tensor, mask: Tensor, kernel: Attend = attend) -> LayerTrace:
    """One whole layer.

    Args:
        layer: Of a BERT or ERNIE without dropout inside attention.
        hidden: `[batch, tokens, width]`.
        mask: From `key_mask`.
        kernel: How it attends.
    """
    return _run(layer, hidden, hidden, mask, kernel)


def run_layer_for_first(layer: nn.Module, hidden: Tensor, mask: Tensor, kernel: Attend = attend) -> Tensor:
    """What one layer makes of the first token: `[batch, tokens, width]` to `[batch, width]`.

    The same as `run_layer(...).hidden[:, 0]` in evaluation mode; dropout draws fewer masks in training.
    """
    return _run(layer, hidden[:, :1], hidden, mask, kernel).hidden[:, 0]


def first_token(base: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, kernel: Attend = attend) -> Tensor:
    """Last hidden state of the first token.

    Args:
        base: A `BertModel` or `ErnieModel`.
        input_ids: `[batch, tokens]`, int64.
        attention_mask: `[batch, tokens]`, int64, 1 for real tokens.
        kernel: How every layer attends.

    Returns:
        `[batch, width]`.
    """
    hidden, mask = embed(base, input_ids), key_mask(attention_mask)
    *below, last = layers_of(base)
    for layer in below:
        hidden = run_layer(layer, hidden, mask, kernel).hidden
    return run_layer_for_first(last, hidden, mask, kernel)


def trace(base: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor) -> Trace:
    """Run an encoder and keep what every layer shows; arguments as of `first_token`."""
    embedded = hidden = embed(base, input_ids)
    mask = key_mask(attention_mask)
    shown: list[LayerTrace] = []
    for layer in layers_of(base):
        shown.append(run_layer(layer, hidden, mask))
        hidden = shown[-1].hidden
    return Trace(embedded, tuple(shown))


def classify(model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, kernel: Attend = attend) -> Tensor:
    """Logits `[batch, labels]`, float32, of a `…ForSequenceClassification`, its last layer run for one token only.

    Other arguments as of `first_token`.
    """
    return classify_first(model, first_token(body_of(model), input_ids, attention_mask, kernel)).float()


def classify_first(model: PreTrainedModel, first: Tensor) -> Tensor:
    """The stock head: logits `[batch, labels]` of a `…ForSequenceClassification` from `[batch, width]`."""
    pooled: Tensor = body_of(model).get_submodule("pooler")(first[:, None])
    logits: Tensor = model.get_submodule("classifier")(model.get_submodule("dropout")(pooled))
    return logits


def _run(layer: nn.Module, asking: Tensor, hidden: Tensor, mask: Tensor, kernel: Attend) -> LayerTrace:
    """One layer for the tokens `asking` `[batch, some tokens, width]`, which attend to all of `hidden`."""
    attention = layer.get_submodule("attention")
    # A layer that lost heads still says how many it was made with; what is left keeps its width.
    width = cast("int", attention.get_submodule("self").attention_head_size)

    def project(name: str, states: Tensor) -> Tensor:
        projected: Tensor = attention.get_submodule(f"self.{name}")(states)
        heads: Tensor = projected.unflatten(-1, (-1, width))
        return heads.transpose(1, 2)

    query, key, value = project("query", asking), project("key", hidden), project("value", hidden)
    context = kernel(query, key, value, mask).flatten(2)
    attended: Tensor = attention.get_submodule("output")(context, asking)
    after: Tensor = layer.get_submodule("output")(layer.get_submodule("intermediate")(attended), attended)
    return LayerTrace(query, key, value, after)
