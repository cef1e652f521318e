"""Checkpoints read key by key: nothing of an encoder is left random, nothing of it left unused."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict, cast

import torch
from transformers import PreTrainedModel
from transformers.utils import logging

from polydx.errors import UserError

HEAD_KEY = re.compile(r"^((bert|ernie)\.)?(pooler|cls|classifier|discriminator_predictions|generator_predictions)\.")
"""Keys of a checkpoint that lie above its encoder; an encoder may be without them and they may be left over."""
COMPLETE = "use a complete checkpoint and its own config.json"


class Report(TypedDict):
    """What `from_pretrained` tells about a checkpoint's keys."""

    missing_keys: set[str]
    unexpected_keys: set[str]
    mismatched_keys: set[tuple[str, torch.Size, torch.Size]]


def load_strictly(
    architecture: type[PreTrainedModel], folder: Path, dropout: float, **options: Any
) -> tuple[PreTrainedModel, set[str]]:
    """Load a model of this class, refusing whatever would leave a part of its encoder random or unused.

    Args:
        architecture: The class.
        folder: With `config.json` and safetensors, or `.bin`, which is read with `weights_only`.
        dropout: Dropout of hidden states; attention gets none.
        options: Arguments of the class.

    Returns:
        The model in evaluation mode, float32, and the keys of its head that the checkpoint lacks.

    Raises:
        UserError: The checkpoint can not be read, lacks a key of the encoder, has one too many, or a wrong shape.
    """
    try:
        with quietly():
            # The return type is not declared for this option.
            loaded: object = architecture.from_pretrained(
                str(folder),
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                dtype=torch.float32,
                attn_implementation="sdpa",
                hidden_dropout_prob=dropout,
                attention_probs_dropout_prob=0.0,
                **options,
            )
    # Each file is read by another library, and a wrong entry of config.json raises what it leads to.
    except Exception as error:
        problem = f"the checkpoint can't be read ({type(error).__name__})"
        fix = "name a folder with config.json and model.safetensors or pytorch_model.bin"
        raise UserError(str(folder), problem, fix) from error
    model, report = cast("tuple[PreTrainedModel, Report]", loaded)
    below_head: Report = {
        "missing_keys": {key for key in report["missing_keys"] if not HEAD_KEY.match(key)},
        "unexpected_keys": {key for key in report["unexpected_keys"] if not HEAD_KEY.match(key)},
        "mismatched_keys": report["mismatched_keys"],
    }
    refuse_misfits(folder, below_head, "encoder")
    return model, report["missing_keys"]


def refuse_misfits(folder: Path, report: Report, part: str, fix: str = COMPLETE) -> None:
    """Refuse a checkpoint that leaves a weight random or unused.

    Args:
        folder: Where it lies.
        report: The keys that count.
        part: What has to be whole, in a word.
        fix: What to do about it.

    Raises:
        UserError: A key is missing, left over or of a wrong shape.
    """
    misshapen = {f"{key} {tuple(found)} for {tuple(wanted)}" for key, found, wanted in report["mismatched_keys"]}
    for problem, keys in (
        (f"lacks weights of its {part}", report["missing_keys"]),
        ("has weights that its configuration doesn't", report["unexpected_keys"]),
        ("has weights of another shape than its configuration", misshapen),
    ):
        if keys:
            raise damaged(folder, problem, keys, fix)


def damaged(folder: Path, problem: str, keys: set[str], fix: str = COMPLETE) -> UserError:
    """The error for a checkpoint whose `keys` are wrong; the first three are named."""
    named = ", ".join(sorted(keys)[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
    return UserError(str(folder), f"the checkpoint {problem}: {named}", fix)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Silence the library's load report and progress bars: what a report would say is raised where it matters."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
