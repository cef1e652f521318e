"""How long a run's student and its fold models take over the same records, taking turns."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from polydx.artifacts import Floats
from polydx.contest.records import PART_ENDS, TEXT
from polydx.model.classifier import load_classifier
from polydx.model.encoders import load_tokenizer
from polydx.model.linear import load_linear
from polydx.model.reading import Reading, load_reading
from polydx.model.record_tokens import encode_records
from polydx.model.side_features import side_features
from polydx.model.tokens import TokenTable
from polydx.train.classification import predict_probabilities

CPU = torch.device("cpu")
WARM_UP_ROWS = 8
"""Rows that a model reads before its clock starts."""

Result = TypeVar("Result")


class Clock:
    """Seconds of named pieces of work; each is done several times, and its median counts."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = defaultdict(list)

    def time(self, name: str, work: Callable[[], Result]) -> Result:
        """Do a piece of work on the clock."""
        started = time.perf_counter()
        result = work()
        self._seconds[name].append(time.perf_counter() - started)
        return result

    def median(self, name: str) -> float:
        """Median seconds of a piece of work."""
        return statistics.median(self._seconds[name])


@dataclass(frozen=True)
class Sample:
    """The test records that every model reads.

    Attributes:
        table: Their rows of `records.parquet`.
        labels: Number of labels.
    """

    table: pd.DataFrame
    labels: int

    @property
    def texts(self) -> list[str]:
        """Their cleaned texts."""
        return self.table[TEXT].tolist()

    def read(self, tokenizer: PreTrainedTokenizerBase, reading: Reading) -> TokenTable:
        """What a neural member reads of them."""
        tokens = encode_records(tokenizer, self.texts, self.table[PART_ENDS].tolist(), reading)
        return replace(tokens, side=side_features(self.table, reading.side)) if reading.side else tokens

    def predict(self, score: Callable[..., Tensor], tokens: TokenTable, most: int | None = None) -> Floats:
        """Probabilities of all of them, or of the first few."""
        return predict_probabilities(score, tokens, np.arange(len(self.table))[:most], self.labels, CPU, bf16=False)


@dataclass(frozen=True)
class StudentForm:
    """The student in one form.

    Attributes:
        name: `fp32`, or as `polydx compress` calls it.
        macro_f1: Nested, out of fold.
        tokenise: Gives what it reads of the sample.
        score: Gives logits.
    """

    name: str
    macro_f1: float
    tokenise: Callable[[], TokenTable]
    score: Callable[..., Tensor]


@dataclass(frozen=True)
class Teacher:
    """One fold model.

    Attributes:
        entry: Its name in the ledger, such as `minilm.round0`.
        name: The same and its fold.
        folder: Where it lies.
        encoder: The folder of its tokenizer; None for a linear model.
    """

    entry: str
    name: str
    folder: Path
    encoder: Path | None

    @property
    def read_as(self) -> str:
        """Names what a neural model reads: models of one encoder that read alike share their tokens."""
        return f"{self.encoder} {load_reading(self.folder)}"


def measure(sample: Sample, forms: Sequence[StudentForm], teachers: Sequence[Teacher], repeats: int) -> Clock:
    """Time everything: between any two teachers every form of the student has its turn."""
    clock = Clock()
    for _ in range(repeats):
        read: dict[str, TokenTable] = {}
        for teacher in teachers:
            for form in forms:
                time_form(clock, sample, form)
            time_teacher(clock, sample, teacher, read)
    return clock


def time_form(clock: Clock, sample: Sample, form: StudentForm) -> None:
    """One pass of a form of the student over the sample."""
    tokens = clock.time(f"tokens of {form.name}", form.tokenise)
    sample.predict(form.score, tokens, WARM_UP_ROWS)
    clock.time(form.name, lambda: sample.predict(form.score, tokens))


def time_teacher(clock: Clock, sample: Sample, teacher: Teacher, read: dict[str, TokenTable]) -> None:
    """One pass of a teacher over the sample; `read` keeps the tokens for those that read alike."""
    if teacher.encoder is None:
        linear, texts = load_linear(teacher.folder), sample.texts
        linear.probabilities(texts[:WARM_UP_ROWS])
        clock.time(teacher.name, lambda: linear.probabilities(texts))
        return
    if teacher.read_as not in read:
        work = partial(sample.read, load_tokenizer(teacher.encoder), load_reading(teacher.folder))
        read[teacher.read_as] = clock.time(teacher.read_as, work)
    tokens, model = read[teacher.read_as], load_classifier(teacher.folder, 0.0).eval()
    sample.predict(model, tokens, most=WARM_UP_ROWS)
    clock.time(teacher.name, lambda: sample.predict(model, tokens))


@dataclass(frozen=True)
class Cost:
    """Median seconds of one side over the sample: finding its tokens, and its models' passes."""

    tokens: float
    passes: float

    @property
    def total(self) -> float:
        """Both."""
        return self.tokens + self.passes


def cost_of(clock: Clock, teachers: Sequence[Teacher], threads: int) -> Cost:
    """What some teachers cost together. A linear model's n-grams are its tokens: all of its time counts there."""
    neural = [teacher for teacher in teachers if teacher.encoder is not None]
    linear = sum(clock.median(teacher.name) for teacher in teachers if teacher.encoder is None)
    tokens = sum(clock.median(reading) for reading in {teacher.read_as for teacher in neural})
    return Cost(tokens + linear / threads, sum(clock.median(teacher.name) for teacher in neural))
