"""A shipped student, loaded: a raw record to the text it reads, its logits, and what they decide."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BertForSequenceClassification,
    ErnieForSequenceClassification,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)

from polydx.artifacts import Floats
from polydx.contest.readers import RawRecord
from polydx.deploy.onnx_runtime import Scorer, load_onnx
from polydx.deploy.student_card import STUDENT_FILE, StudentCard, read_card
from polydx.ensemble.thresholds import decide
from polydx.errors import SHIP_AGAIN, UserError
from polydx.model.amx import avoid_broken_amx
from polydx.model.checkpoints import Report, quietly, refuse_misfits
from polydx.model.encoders import load_tokenizer
from polydx.model.exit_rules import ExitRule
from polydx.model.exit_running import run_with_exits
from polydx.model.exit_speeds import SPEEDS_FILE, read_speed
from polydx.model.exits import EXITS_FILE, Exits, load_exits
from polydx.model.layers import classify
from polydx.names import ExitRuleName
from polydx.text.cleaner import RecordCleaner

StudentModel = BertForSequenceClassification | ErnieForSequenceClassification
ONNX_FILE = "model.onnx"
"""In place of a stock model's weights, in the folder of a form that no stock class has."""
EXIT_RULE: ExitRuleName = "similarity"
"""The rule behind the speed of a deployed student where none is named: the one made for many labels (F-PABEE)."""


@dataclass(frozen=True)
class EarlyExits:
    """How records leave a student early.

    Attributes:
        heads: After every layer but the last, in evaluation mode.
        rule: When a record leaves.
        cuts: `[labels]`, float32, thresholds that the rule may look at.
        saves: Share of the work that this saved on the rows that it was set on.
    """

    heads: Exits
    rule: ExitRule
    cuts: Tensor
    saves: float


@dataclass(frozen=True)
class LoadedStudent:
    """All of a student's folder.

    Attributes:
        card: What lies beside the weights.
        model: The stock model, in evaluation mode; None where the folder holds an ONNX file.
        onnx: What scores in its place; None where there is a stock model.
        tokenizer: Its tokenizer.
        cleaner: Cleans raw records as the training records were.
        early: How records leave early; None where all of them take every layer.
    """

    card: StudentCard
    model: StudentModel | None
    onnx: Scorer | None
    tokenizer: PreTrainedTokenizerBase
    cleaner: RecordCleaner
    early: EarlyExits | None = None

    def to(self, device: torch.device) -> None:
        """Move what torch computes with, in place."""
        parts: tuple[nn.Module | None, ...] = (self.model, None if self.early is None else self.early.heads)
        for part in parts:
            if part is not None:
                part.to(device)

    def text(self, record: RawRecord) -> str:
        """The text that the model reads of a raw record."""
        return self.cleaner.clean(record.sections, record.age, record.sex, record.categories).text

    def score(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits `[batch, labels]`, float32, of `[batch, tokens]`, int64, each."""
        if self.onnx is not None:
            return torch.from_numpy(self.onnx(input_ids.numpy(), attention_mask.numpy()))
        return stock_logits(self.stock_model(), self.early, input_ids, attention_mask)

    def stock_model(self) -> StudentModel:
        """The stock model.

        Raises:
            UserError: The folder holds an ONNX file.
        """
        if self.model is None:
            raise UserError(ONNX_FILE, "can be predicted with and nothing else", "name the student it was made of")
        return self.model

    def decide(self, probabilities: Floats) -> list[list[int]]:
        """Columns of the labels decided for each row of `[rows, labels]`, in the order of the card."""
        card = self.card
        decided = decide(probabilities, np.array(card.thresholds), card.min_labels, card.max_labels)
        return [np.flatnonzero(row).tolist() for row in decided]

    def names(self, columns: Sequence[int]) -> list[str]:
        """Names of labels by their columns."""
        return [self.card.labels[column] for column in columns]


def stock_logits(model: StudentModel, early: EarlyExits | None, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Logits `[batch, labels]`, float32, of a stock model, whose records leave early if `early` is given."""
    if early is None:
        return classify(model, input_ids, attention_mask)
    return run_with_exits(model, early.heads, input_ids, attention_mask, early.rule, early.cuts).logits


def load_student(folder: Path, speed: float | None = None, exit_rule: ExitRuleName = EXIT_RULE) -> LoadedStudent:
    """Load a student's folder.

    Args:
        folder: The folder.
        speed: Share of the work to save by early exits, 0 for none of it; None leaves exits alone.
        exit_rule: When a record leaves, at a speed.

    Raises:
        UserError: It has no complete card, no readable model or tokenizer, they don't belong together, or it has no
            exits of its own or not this speed.
    """
    card = read_card(folder)
    onnx = folder / ONNX_FILE
    model = None if onnx.is_file() else load_model(folder)
    # Before the tokenizer, which would be blamed for a damaged one.
    config = _read_config(folder) if model is None else model.config
    tokenizer = load_tokenizer(folder)
    _check_card(card, config, folder)
    cleaner = RecordCleaner(card.columns.sections, card.headings, card.placeholders, card.language)
    score = load_onnx(onnx) if model is None else None
    early = None if speed is None else load_early_exits(folder, speed, exit_rule)
    if early is not None:
        _check_exits(early, card, config, folder)
    return LoadedStudent(card, model, score, tokenizer, cleaner, early)


def _check_card(card: StudentCard, config: PreTrainedConfig, folder: Path) -> None:
    if config.id2label != dict(enumerate(card.labels)):
        raise UserError(str(folder), f"{STUDENT_FILE} and config.json differ in labels", SHIP_AGAIN)
    positions: int = config.max_position_embeddings
    if not isinstance(card.max_tokens, int) or card.max_tokens > positions:
        problem = f"max_tokens is {card.max_tokens!r}, and the model has {positions} positions"
        raise UserError(str(folder / STUDENT_FILE), problem, SHIP_AGAIN)


def _check_exits(early: EarlyExits, card: StudentCard, config: PreTrainedConfig, folder: Path) -> None:
    labels = len(card.labels)
    fitting = Exits(config.hidden_size, labels, config.num_hidden_layers, 0.0).state_dict()
    found = {key: weight.shape for key, weight in early.heads.state_dict().items()}
    if found != {key: weight.shape for key, weight in fitting.items()} or len(early.cuts) != labels:
        raise UserError(str(folder), f"{EXITS_FILE} or {SPEEDS_FILE} is of another student", SHIP_AGAIN)


def load_early_exits(folder: Path, speed: float, exit_rule: ExitRuleName = EXIT_RULE) -> EarlyExits:
    """Load the exits of a student's folder at one speed of one rule.

    Raises:
        UserError: It has none, damaged ones, or not this speed.
    """
    found = read_speed(folder, exit_rule, speed)
    return EarlyExits(load_exits(folder), *found)


def word_embedding(model: StudentModel) -> nn.Embedding:
    """A student's table of word embeddings."""
    table = model.get_input_embeddings()
    if not isinstance(table, nn.Embedding):
        raise TypeError(f"{type(model).__name__} has a {type(table).__name__} for its words")
    return table


def load_model(folder: Path) -> StudentModel:
    """Load a student's stock model, in evaluation mode, fp32; in bf16 where its weights are: so that form was judged.

    Raises:
        UserError: There is none, or its weights and its configuration don't fit.
    """
    try:
        with quietly():
            loaded: object = AutoModelForSequenceClassification.from_pretrained(
                str(folder),
                trust_remote_code=False,
                dtype="auto",
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
    # As in `load_strictly`: a wrong entry of config.json raises what it leads to.
    except Exception as error:
        problem = f"holds no readable model ({type(error).__name__})"
        raise UserError(str(folder), problem, SHIP_AGAIN) from error
    model, report = cast("tuple[object, Report]", loaded)
    if not isinstance(model, BertForSequenceClassification | ErnieForSequenceClassification):
        raise UserError(str(folder), f"holds a {type(model).__name__}", "name the folder of a student")
    refuse_misfits(folder, report, "model", SHIP_AGAIN)
    if model.dtype == torch.bfloat16:
        avoid_broken_amx()
    else:
        module: nn.Module = model
        module.float()
    return model


def _read_config(folder: Path) -> PreTrainedConfig:
    source = folder / "config.json"
    if not source.is_file():
        raise UserError(str(source), "is absent", SHIP_AGAIN)
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    except Exception as error:
        problem = f"is no readable configuration ({type(error).__name__})"
        raise UserError(str(source), problem, SHIP_AGAIN) from error
    return config


def in_fp32(model: StudentModel) -> StudentModel:
    """Copy a student, in fp32."""
    copied = copy.deepcopy(model)
    module: nn.Module = copied
    module.float()
    return copied
