"""The student: some layers of an encoder under a head that a stock class of the library has.

Its folder loads with `AutoModelForSequenceClassification.from_pretrained` and works in
`transformers.pipeline("text-classification", top_k=None)`, without this package.
"""

import copy
from collections.abc import Sequence
from pathlib import Path

from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    ErnieConfig,
    ErnieForSequenceClassification,
    PreTrainedConfig,
)

from polydx.model.encoders import keep_layers, load_encoder

Student = BertForSequenceClassification | ErnieForSequenceClassification


def new_student(encoder: Path, layers: Sequence[int], label_names: Sequence[str], dropout: float) -> Student:
    """Build a student from chosen layers of an encoder.

    Args:
        encoder: Folder of the encoder in Hugging Face layout.
        layers: Its layers to keep, from 0, rising.
        label_names: What the logits stand for.
        dropout: Dropout of hidden states and before the head.

    Returns:
        The model. Its pooler (a tanh layer on the first token) and linear head are drawn from torch's generator.

    Raises:
        UserError: The encoder can't be loaded or has no such layers.
    """
    body = keep_layers(load_encoder(encoder, dropout), layers)
    config = copy.deepcopy(body.config)
    config.id2label = dict(enumerate(label_names))
    config.label2id = {name: index for index, name in enumerate(label_names)}
    config.problem_type = "multi_label_classification"
    config.classifier_dropout = dropout
    student = _stock_class(config)
    _copy_weights(body, student.base_model)
    return student


def is_head(parameter: str) -> bool:
    """Whether a parameter of a student, by its full name, is new and not the encoder's."""
    return ".pooler." in parameter or parameter.startswith("classifier.")


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
