"""The student: some layers of an encoder under a head that a stock class of the library has.

Its folder loads with `AutoModelForSequenceClassification.from_pretrained` and works in
`transformers.pipeline("text-classification", top_k=None)`, without this package.

The stock head reads the first token, through a tanh layer. A first token that was never trained to gather anything
learns that slowly: on real data such a student stayed far below its teachers. No stock class has a BERT's layers and
the mean of its tokens, but a BERT's layer can be that mean: `add_pooling_layer`.
"""

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    ErnieConfig,
    ErnieForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)

from polydx.model.encoders import keep_layers
from polydx.model.heads import MEAN_SCALE, BinaryHeads, Head, PooledHead
from polydx.model.pruning import keep_neurons, most_important, neuron_strengths

Student = BertForSequenceClassification | ErnieForSequenceClassification

MEAN_GAIN = 4.0
"""Times the mean of the tokens enters the pooling layer's sum: large beside the first token's own state."""
POOLER_SLOPE = 0.3
"""The pooler starts as tanh(0.3 x): nearly linear over the unit variance of a normalised state."""


def student_of(
    encoder: PreTrainedModel,
    layers: Sequence[int],
    label_names: Sequence[str],
    dropout: float,
    *,
    pooling_layer: bool = False,
    kept_neurons: float = 1.0,
    setting: str = "distil.layers",
) -> Student:
    """Build a student from chosen layers of an encoder.

    Args:
        encoder: A `BertModel` or `ErnieModel`, pre-trained or fine-tuned; left as it is.
        layers: Its layers to keep, from 0, rising.
        label_names: What the logits stand for.
        dropout: Dropout of hidden states and before the head.
        pooling_layer: Whether to add a layer that starts as the mean of the tokens, under a pooler that starts open.
        kept_neurons: Share of each layer's feed-forward neurons to keep, in (0, 1]: those of the largest weights.
        setting: Where `layers` come from, for the error.

    Returns:
        The model. Its linear head, and without a pooling layer its pooler (a tanh layer on the first token), are drawn
        from torch's generator.

    Raises:
        UserError: There are no such layers.
    """
    body = keep_layers(encoder, layers, setting)
    if kept_neurons < 1.0:
        body = keep_neurons(body, most_important(neuron_strengths(body), kept_neurons))
    if pooling_layer:
        add_pooling_layer(body)
    config = copy.deepcopy(body.config)
    config.id2label = dict(enumerate(label_names))
    config.label2id = {name: index for index, name in enumerate(label_names)}
    config.problem_type = "multi_label_classification"
    config.classifier_dropout = dropout
    config.hidden_dropout_prob = dropout
    student = _stock_class(config)
    _copy_weights(body, student.base_model)
    if pooling_layer:
        _open_pooler(student)
    return student


@torch.no_grad()
def add_pooling_layer(body: PreTrainedModel) -> None:
    """Append a layer whose first token takes in the mean of all tokens.

    Its queries are zero, so every token attends evenly to all; values pass as they are, times `MEAN_GAIN`; the
    feed-forward part adds nothing. The first token leaves as LayerNorm(h_0 + 4 mean(h)), the direction of the mean much
    like the teachers' normalised one. Training goes on from there: attention learns where to look. Only the first
    token of a last layer is ever needed (`first_token` in `polydx.model.layers`), so it costs a fifth of another layer.
    """
    layers = cast("nn.ModuleList", body.get_submodule("encoder.layer"))
    layer = copy.deepcopy(layers[-1])
    for name, part in layer.named_modules():
        if isinstance(part, nn.Linear):
            part.weight.normal_(std=body.config.initializer_range)
            part.bias.zero_()
            if name == "attention.self.query" or name == "output.dense":
                part.weight.zero_()
            elif name == "attention.self.value":
                part.weight.copy_(torch.eye(len(part.weight)))
            elif name == "attention.output.dense":
                part.weight.copy_(MEAN_GAIN * torch.eye(len(part.weight)))
        elif isinstance(part, nn.LayerNorm):
            part.weight.fill_(1.0)
            part.bias.zero_()
    layers.append(layer)
    body.config.num_hidden_layers = len(layers)


@torch.no_grad()
def take_head(student: Student, head: Head) -> None:
    """Start a student's linear head from a teacher's, scaled to what the open pooler hands it.

    A teacher on the normalised mean reads a vector of length `MEAN_SCALE`, the student one of length
    `POOLER_SLOPE` sqrt(width) in about the same direction. The weights of a head that attends for each label weigh the
    same features, only at chosen tokens: a start too. A network for each label has no such weights, and leaves the
    student's as they are. The bias is left as it is.

    Args:
        student: With a pooling layer.
        head: Of the classifier whose layers the student keeps.
    """
    if isinstance(head, BinaryHeads):
        return
    width = student.config.hidden_size
    scale = MEAN_SCALE / width**0.5 if isinstance(head, PooledHead) and head.pooling == "mean" else 1.0
    student.classifier.weight.copy_(head.weight * scale / POOLER_SLOPE)


def is_head(parameter: str) -> bool:
    """Whether a parameter of a student, by its full name, is new and not the encoder's."""
    return ".pooler." in parameter or parameter.startswith("classifier.")


@torch.no_grad()
def _open_pooler(student: Student) -> None:
    dense = student.base_model.get_submodule("pooler.dense")
    if not isinstance(dense, nn.Linear):
        raise TypeError(f"the pooler holds a {type(dense).__name__}")
    dense.weight.copy_(POOLER_SLOPE * torch.eye(len(dense.weight)))
    dense.bias.zero_()


def _stock_class(config: PreTrainedConfig) -> Student:
    if isinstance(config, BertConfig):
        return BertForSequenceClassification(config)
    if isinstance(config, ErnieConfig):
        return ErnieForSequenceClassification(config)
    raise TypeError(f"no student is known for a {type(config).__name__}")


def _copy_weights(source: nn.Module, target: nn.Module) -> None:
    found = target.load_state_dict(source.state_dict(), strict=False)
    left_random = [key for key in found.missing_keys if not key.startswith("pooler.")]
    if left_random or found.unexpected_keys:
        raise RuntimeError(f"the stock class and its encoder differ: {left_random + found.unexpected_keys}")
