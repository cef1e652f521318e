"""Text encoders: made, loaded strictly, cut to fewer layers.

Only the model types named in `ARCHITECTURES` are read: what they call their layers, heads and dropouts is known, so a
checkpoint can be checked key by key. No code that comes with a checkpoint is ever run.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import nn
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    ErnieConfig,
    ErnieForMaskedLM,
    ErnieModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from polydx.artifacts import as_umask_allows, read_json
from polydx.errors import UserError
from polydx.model.checkpoints import damaged, load_strictly, quietly
from polydx.model.sources import fetch
from polydx.names import Architecture

MaskedLM = BertForMaskedLM | ErnieForMaskedLM

ARCHITECTURES: dict[str, tuple[type[PreTrainedModel], type[PreTrainedModel]]] = {
    "bert": (BertModel, BertForMaskedLM),
    "ernie": (ErnieModel, ErnieForMaskedLM),
}
"""By model type: the bare encoder, and the encoder with a masked-language-model head."""


class LoadedMaskedLM(NamedTuple):
    """A masked language model, and whether its head had to be made anew because the checkpoint has none."""

    model: MaskedLM
    fresh_head: bool


def new_encoder(
    architecture: Architecture,
    *,
    vocabulary_size: int,
    layers: int,
    hidden_size: int,
    heads: int,
    intermediate_size: int,
    max_positions: int,
    dropout: float,
) -> MaskedLM:
    """Make a masked language model with random weights, drawn from torch's generator.

    Attention has no dropout of its own, which keeps its fused kernel.

    Raises:
        UserError: The heads don't divide the width.
    """
    if hidden_size % heads:
        raise UserError("encoder.heads", f"is {heads}", f"choose a divisor of hidden_size {hidden_size}")
    config_type = BertConfig if architecture == "bert" else ErnieConfig
    config = config_type(
        vocab_size=vocabulary_size,
        num_hidden_layers=layers,
        hidden_size=hidden_size,
        num_attention_heads=heads,
        intermediate_size=intermediate_size,
        max_position_embeddings=max_positions,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=0.0,
    )
    return BertForMaskedLM(config) if isinstance(config, BertConfig) else ErnieForMaskedLM(config)


def load_masked_lm(source: str | Path, dropout: float) -> LoadedMaskedLM:
    """Load an encoder with its masked-language-model head, to go on pre-training it.

    Args:
        source: A folder or a hub id; safetensors, or `.bin` read with `weights_only`.
        dropout: Dropout of hidden states; attention gets none, which keeps its fused kernel.

    Returns:
        The model. A checkpoint without any key of the head gets a fresh one, drawn from torch's generator.

    Raises:
        UserError: The source can't be read, a key of the encoder or a part of the head is missing, a key is left over,
            or a shape is wrong.
    """
    folder = fetch(source)
    _, masked_lm = ARCHITECTURES[_architecture(folder)]
    model, missing = load_strictly(masked_lm, folder, dropout)
    if not isinstance(model, BertForMaskedLM | ErnieForMaskedLM):
        raise TypeError(f"{type(model).__name__} is no masked language model")
    # The decoder's weight is the word embedding, so it is never missing by itself.
    head = {key for key in model.state_dict() if key.startswith("cls.")} - {"cls.predictions.decoder.weight"}
    if missing and missing != head:
        raise damaged(folder, "lacks a part of the masked-LM head", missing)
    return LoadedMaskedLM(model, bool(missing))


def load_encoder(source: str | Path, dropout: float) -> PreTrainedModel:
    """Load an encoder without pooling layer and heads.

    Args:
        source: A folder or a hub id; safetensors, or `.bin` read with `weights_only`.
        dropout: Dropout of hidden states; attention gets none, which keeps its fused kernel.

    Returns:
        A `BertModel` or `ErnieModel` in evaluation mode, float32.

    Raises:
        UserError: The source can't be read, a key of the encoder is missing or left over, or a shape is wrong.
    """
    folder = fetch(source)
    encoder, _ = ARCHITECTURES[_architecture(folder)]
    model, _ = load_strictly(encoder, folder, dropout, add_pooling_layer=False)
    return model


def load_tokenizer(source: str | Path) -> PreTrainedTokenizerBase:
    """Load the fast tokenizer that lies beside an encoder.

    Raises:
        UserError: There is none, it lacks a special token, or it knows more tokens than the encoder, which must have a
            configuration.
    """
    folder = fetch(source)
    _architecture(folder)  # The tokenizer would be blamed for a broken config.json.
    # Without a vocabulary the library would make a tokenizer that knows nothing but special tokens.
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        raise UserError(str(folder), "holds no tokenizer", "add tokenizer.json or vocab.txt")
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    # The library checks little: a damaged file raises what its first wrong entry leads to, also a bare Exception.
    except Exception as error:
        problem = f"the tokenizer can't be read ({type(error).__name__})"
        raise UserError(str(folder), problem, "replace tokenizer.json or vocab.txt") from error
    if not tokenizer.is_fast:
        raise UserError(str(folder), "has only a slow tokenizer", "save it with its fast version (tokenizer.json)")
    for name in ("pad_token_id", "unk_token_id", "cls_token_id", "sep_token_id", "mask_token_id"):
        if getattr(tokenizer, name) is None:
            raise UserError(str(folder), f"the tokenizer has no {name}", "complete its special tokens")
    rows = read_json(folder / "config.json").get("vocab_size")
    if not isinstance(rows, int):
        raise UserError(str(folder / "config.json"), f"vocab_size is {rows!r}", "give the encoder's number of tokens")
    needed = max(tokenizer.get_vocab().values()) + 1
    if needed > rows:
        raise UserError(
            str(folder), f"the tokenizer has {needed} tokens, the encoder {rows}", "use the vocabulary it was made with"
        )
    return tokenizer


def check_length(model: PreTrainedModel, max_tokens: int, setting: str) -> None:
    """Refuse sequences that are longer than the encoder has positions.

    Raises:
        UserError: `max_tokens` is too large; `setting` is the place named.
    """
    positions: int = model.config.max_position_embeddings
    if max_tokens > positions:
        raise UserError(setting, f"is {max_tokens}", f"stay within the encoder's {positions} positions")


def keep_layers(model: PreTrainedModel, layers: Sequence[int], setting: str) -> PreTrainedModel:
    """Copy an encoder with only some of its layers, to start a student from.

    Args:
        model: From `load_encoder`; left as it is.
        layers: 0-based numbers of the layers to keep, rising.
        setting: Named in the error.

    Raises:
        UserError: There is no such layer, or the numbers don't rise.
    """
    count: int = model.config.num_hidden_layers
    if list(layers) != sorted(set(layers)) or not layers or layers[0] < 0 or layers[-1] >= count:
        raise UserError(setting, f"is {list(layers)}", f"give rising numbers from 0 to {count - 1}")
    student = copy.deepcopy(model)
    stack = student.get_submodule("encoder")
    kept = [stack.get_submodule(f"layer.{number}") for number in layers]
    stack.register_module("layer", nn.ModuleList(kept))
    student.config.num_hidden_layers = len(kept)
    return student


def save_folder(target: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None = None) -> None:
    """Write a model, and its tokenizer if given, in Hugging Face layout: safetensors, no progress bar."""
    with quietly():
        model.save_pretrained(target)
        if tokenizer is not None:
            tokenizer.save_pretrained(target)
    for weights in target.glob("*.safetensors"):
        as_umask_allows(weights)


def _architecture(folder: Path) -> str:
    config = folder / "config.json"
    if not config.is_file():
        raise UserError(str(config), "is absent", "name a folder in Hugging Face layout")
    try:
        model_type = read_json(config).get("model_type")
    except (ValueError, AttributeError):
        raise UserError(str(config), "is not a JSON object", "name a folder in Hugging Face layout") from None
    if not isinstance(model_type, str) or model_type not in ARCHITECTURES:
        known = " or ".join(ARCHITECTURES)
        raise UserError(str(config), f"model_type is {model_type!r}", f"use an encoder of type {known}")
    return model_type
