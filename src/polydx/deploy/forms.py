"""A student's smaller forms: made, scored with, written."""

import copy
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from polydx.artifacts import Floats
from polydx.deploy.importances import Importances, importances
from polydx.deploy.low_rank import with_low_rank_embedding
from polydx.deploy.onnx_models import export_onnx, quantise_dynamic, quantise_static
from polydx.deploy.onnx_runtime import load_onnx
from polydx.deploy.student_model import ONNX_FILE, StudentModel, word_embedding
from polydx.deploy.vocabulary import prune_vocabulary
from polydx.model.encoders import save_folder
from polydx.model.layers import classify
from polydx.model.pruning import keep_heads, keep_neurons, most_important
from polydx.model.tokens import IntArray, encode
from polydx.names import FormName
from polydx.train.batching import batches_by_tokens

KEEP_EXITS: tuple[FormName, ...] = ("bf16", "vocabulary")
"""Forms whose layers give what the student's give, so that its early exits and their speeds hold for them. Without some
neurons the states are others than those that exits were trained on, and ONNX runs all layers at once."""
CALIBRATION_TOKENS = 4096
"""Padded tokens in a batch of calibration rows; their activations are kept."""


@dataclass(frozen=True)
class Material:
    """What a smaller form may look at.

    Attributes:
        texts: Cleaned texts whose tokens stay in a pruned vocabulary.
        calibration: Texts of rows that importances and activation ranges are taken from.
        targets: `[calibration rows, labels]`, float32: their labels.
        max_tokens: Longest sequence.
    """

    texts: Sequence[str]
    calibration: Sequence[str]
    targets: Floats
    max_tokens: int


@dataclass(frozen=True)
class Sizes:
    """How much of a student stays: shares of its neurons and heads in each layer, the rank of its embedding table."""

    neurons: float
    heads: float
    rank: int


@dataclass(frozen=True)
class SmallerForm:
    """A student in another form.

    Attributes:
        score: Logits `[batch, labels]`, float32, from `input_ids` and `attention_mask`.
        tokenizer: The tokenizer that goes with it.
        write: Writes the form into a new folder: a stock model, or `ONNX_FILE` beside its configuration.
    """

    score: Callable[[Tensor, Tensor], Tensor]
    tokenizer: PreTrainedTokenizerBase
    write: Callable[[Path], None]


def make_form(
    name: FormName,
    model: StudentModel,
    tokenizer: PreTrainedTokenizerBase,
    material: Material,
    sizes: Sizes,
    work: Path,
) -> SmallerForm:
    """Make one form of a student.

    bf16, a pruned vocabulary and pruned neurons stay stock models; the others are ONNX.

    Args:
        name: The form.
        model: In evaluation mode, fp32, on the CPU; left as it is.
        tokenizer: Its tokenizer.
        material: What may be looked at.
        sizes: How much stays.
        work: An existing folder for files that scoring reads.

    Raises:
        UserError: The tokenizer is of a kind whose vocabulary can't be pruned.
    """
    if name == "bf16":
        halved = copy.deepcopy(model)
        module: torch.nn.Module = halved
        module.to(torch.bfloat16)
        return _stock(halved, tokenizer)
    if name == "vocabulary":
        return _stock(*prune_vocabulary(model, tokenizer, material.texts))
    if name == "neurons":
        kept = most_important(_importances(model, tokenizer, material).neurons, sizes.neurons)
        return _stock(keep_neurons(model, kept), tokenizer)
    plain, target = work / "plain.onnx", work / f"{name}.onnx"
    export_onnx(_exported(name, model, tokenizer, material, sizes), plain)
    if name == "int8":
        quantise_dynamic(plain, target)
    elif name == "int8-static":
        batches = [(ids.numpy(), mask.numpy()) for ids, mask, _ in _batches(tokenizer, material)]
        quantise_static(plain, target, batches)
    else:
        plain.replace(target)
    return _onnx(target, model, tokenizer)


def _exported(
    name: FormName, model: StudentModel, tokenizer: PreTrainedTokenizerBase, material: Material, sizes: Sizes
) -> StudentModel:
    if name == "low_rank":
        return with_low_rank_embedding(model, min(sizes.rank, *word_embedding(model).weight.shape))
    if name == "heads":
        kept = most_important(_importances(model, tokenizer, material).heads, sizes.heads)
        return keep_heads(model, kept)
    return model


def _stock(model: StudentModel, tokenizer: PreTrainedTokenizerBase) -> SmallerForm:
    def score(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return classify(model, input_ids, attention_mask)

    return SmallerForm(score, tokenizer, lambda folder: save_folder(folder, model, tokenizer))


def _onnx(file: Path, model: StudentModel, tokenizer: PreTrainedTokenizerBase) -> SmallerForm:
    run = load_onnx(file)

    def score(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return torch.from_numpy(run(input_ids.numpy(), attention_mask.numpy()))

    def write(folder: Path) -> None:
        folder.mkdir()
        shutil.copyfile(file, folder / ONNX_FILE)
        model.config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    return SmallerForm(score, tokenizer, write)


def _batches(tokenizer: PreTrainedTokenizerBase, material: Material) -> list[tuple[Tensor, Tensor, Tensor]]:
    tokens = encode(tokenizer, material.calibration, material.max_tokens)

    def batch(rows: IntArray) -> tuple[Tensor, Tensor, Tensor]:
        return (*tokens.pad(rows), torch.from_numpy(material.targets[rows]))

    return [batch(rows) for rows in batches_by_tokens(tokens.lengths, CALIBRATION_TOKENS)]


def _importances(model: StudentModel, tokenizer: PreTrainedTokenizerBase, material: Material) -> Importances:
    return importances(model, _batches(tokenizer, material))
