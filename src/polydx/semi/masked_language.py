"""Masked-language-model training: recover hidden words from their context (Devlin 2019, with whole-word masks)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from polydx.artifacts import fingerprint_arrays
from polydx.model.encoders import MaskedLM
from polydx.model.layers import body_of
from polydx.model.packing import Encode, encode_packed, encode_padded
from polydx.model.tokens import IntArray
from polydx.names import Language
from polydx.semi.whole_words import NO_WORD, WordTokens, encode_words
from polydx.train.batching import batches_by_tokens
from polydx.train.loop import Recipe, fit

MASKED, REPLACED = 0.8, 0.1
"""Shares of the hidden tokens that become `[MASK]` or a random token; the rest stay as they are."""
EVALUATION_TOKENS = 8192
"""Padded tokens in an evaluation batch."""


class Outcome(NamedTuple):
    """What training did; the losses are means over the hidden tokens of the held-out texts."""

    steps: int = 0
    seconds: float = 0.0
    loss_before: float | None = None
    loss_after: float | None = None


@dataclass(frozen=True)
class MaskedExamples:
    """Sequences whose words are hidden anew in every batch.

    Attributes:
        sequences: Tokens and words.
        mask_share: Probability that a word is hidden, in (0, 1).
        mask_id: Id of `[MASK]`.
        ordinary_ids: `[n]`, int64: ids that a random token is drawn from.
    """

    sequences: WordTokens
    mask_share: float
    mask_id: int
    ordinary_ids: IntArray

    @property
    def lengths(self) -> IntArray:
        """`[sequences]`, tokens of each."""
        return self.sequences.tokens.lengths

    def fingerprint(self) -> str:
        """Changes whenever any example does."""
        tokens = self.sequences.tokens
        own = np.array([self.mask_share, self.mask_id])
        return fingerprint_arrays(tokens.ids, tokens.starts, self.sequences.words, self.ordinary_ids, own)

    def batch(self, rows: IntArray, draw: np.random.Generator) -> dict[str, Tensor]:
        """Hide words of some sequences.

        Each word is hidden with probability `mask_share`, and at least one of the batch.

        Returns:
            `input_ids` and `attention_mask`, `[rows, longest]`; `hidden`, `[n]`, places of the tokens to recover in the
            flattened batch; `targets`, `[n]`, their ids. All int64.
        """
        input_ids, attention_mask = self.sequences.tokens.pad(rows)
        starts = self.sequences.tokens.starts
        words = np.concatenate([self.sequences.words[starts[row] : starts[row + 1]] for row in rows])
        hidden = torch.from_numpy(attention_mask.numpy().ravel().nonzero()[0][self._choose(words, draw)])
        flat = input_ids.view(-1)
        targets = flat[hidden]
        flat[hidden] = torch.from_numpy(self._disguise(targets.numpy(), draw))
        return {"input_ids": input_ids, "attention_mask": attention_mask, "hidden": hidden, "targets": targets}

    def _choose(self, words: npt.NDArray[np.int32], draw: np.random.Generator) -> npt.NDArray[np.bool_]:
        run = np.cumsum(np.diff(words, prepend=NO_WORD) != 0)
        chances = draw.random(run[-1] + 1)[run]
        chances[words == NO_WORD] = 2.0
        chosen: npt.NDArray[np.bool_] = chances <= max(self.mask_share, chances.min())
        return chosen

    def _disguise(self, ids: IntArray, draw: np.random.Generator) -> IntArray:
        chances = draw.random(len(ids))
        random_ids = draw.choice(self.ordinary_ids, len(ids))
        return np.where(chances < MASKED, self.mask_id, np.where(chances < MASKED + REPLACED, random_ids, ids))


def mask_texts(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    max_tokens: int,
    language: Language,
    whole_words: bool,
    mask_share: float,
) -> MaskedExamples:
    """Make examples of texts; see `encode_words` and `MaskedExamples` for the arguments."""
    if not isinstance(tokenizer.mask_token_id, int):
        raise TypeError(f"the tokenizer has no [MASK]: {type(tokenizer).__name__}")
    return MaskedExamples(
        sequences=encode_words(tokenizer, texts, max_tokens, language, whole_words=whole_words),
        mask_share=mask_share,
        mask_id=tokenizer.mask_token_id,
        ordinary_ids=np.setdiff1d(list(tokenizer.get_vocab().values()), tokenizer.all_special_ids),
    )


class MaskedLanguageTask(nn.Module):
    """Cross-entropy of the hidden tokens, mean over them.

    Scores over the vocabulary are computed for hidden tokens only: on small encoders that projection would cost more
    than the layers.

    Args:
        model: The model.
        packed: Whether padding is left out of its layers (`model/packing.py`).
    """

    def __init__(self, model: MaskedLM, *, packed: bool = False) -> None:
        super().__init__()
        self.model = model
        self.encode: Encode = encode_packed if packed else encode_padded

    def forward(self, batch: dict[str, Tensor], progress: float) -> Tensor:  # noqa: ARG002 - the loop passes it to all
        """Scalar loss of a batch of `MaskedExamples`."""
        body = body_of(self.model)
        states = self.encode(body, body.get_input_embeddings()(batch["input_ids"]), batch["attention_mask"])
        logits: Tensor = self.model.cls(states.flatten(0, 1)[batch["hidden"]])
        return functional.cross_entropy(logits.float(), batch["targets"])


@torch.inference_mode()
def evaluate(task: MaskedLanguageTask, examples: MaskedExamples, seed: int, device: torch.device, bf16: bool) -> float:
    """Mean cross-entropy over the hidden tokens of all sequences; which ones are hidden follows from `seed` alone."""
    task.eval().to(device)
    draw = np.random.default_rng(seed)
    total, count = 0.0, 0
    for rows in batches_by_tokens(examples.lengths, EVALUATION_TOKENS):
        batch = {key: value.to(device) for key, value in examples.batch(rows, draw).items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            total += task(batch, 0.0).item() * len(batch["targets"])
        count += len(batch["targets"])
    return total / count


def pretrain(
    model: MaskedLM,
    seen: MaskedExamples,
    unseen: MaskedExamples,
    recipe: Recipe,
    *,
    name: str,
    device: torch.device,
    checkpoint: Path,
    depends_on: str,
    packed: bool = False,
) -> Outcome:
    """Train a masked language model in place, and measure it before and after; with no epochs, only measure.

    Args:
        model: The model.
        seen: What to train on.
        unseen: What to measure on.
        recipe: The schedule.
        name: Shown with the progress.
        device: Where to train.
        checkpoint: File for the state inside the job; see `fit`.
        depends_on: Names what the result depends on beside the arguments; see `fit`.
        packed: See `MaskedLanguageTask`.
    """
    task = MaskedLanguageTask(model, packed=packed)
    before = evaluate(task, unseen, recipe.seed, device, recipe.bf16)
    if recipe.epochs == 0:
        return Outcome(loss_before=before, loss_after=before)
    report = fit(
        task,
        seen,
        recipe,
        name=name,
        is_head=lambda _: False,
        device=device,
        checkpoint=checkpoint,
        depends_on=depends_on,
    )
    after = evaluate(task, unseen, recipe.seed, device, recipe.bf16)
    return Outcome(report.steps, report.seconds, before, after)
