"""Stage 4: make or load an encoder and train it to recover hidden words of the contest's text."""

import sys

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from polydx.artifacts import replacing, write_json
from polydx.config import Compute, Encoder, Pretrain
from polydx.contest.records import DUPLICATE_GROUP, PART, TEST, TEXT, read_records
from polydx.errors import UserError
from polydx.judge.held_out import draw_groups
from polydx.model.attention import use_own_attention
from polydx.model.compilation import compile_layers
from polydx.model.encoders import (
    MaskedLM,
    check_length,
    load_encoder,
    load_masked_lm,
    load_tokenizer,
    new_encoder,
    save_folder,
)
from polydx.model.layers import body_of
from polydx.model.sources import fetch, find_source
from polydx.model.tokenizers import new_tokenizer
from polydx.names import Language
from polydx.paths import RunPaths
from polydx.provenance import code_hash
from polydx.semi.masked_language import MaskedExamples, Outcome, mask_texts, pretrain
from polydx.stages.recipes import packs
from polydx.train.checkpoint import clear_checkpoint
from polydx.train.device import bf16_available, job_seed, pick_device, prepare
from polydx.train.loop import Recipe

DROPOUT_FROM_SCRATCH, DROPOUT_CONTINUED = 0.0, 0.1
"""A few passes over new text can't be learnt by heart, so dropout would only slow a fresh encoder down."""
CLIP_NORM = 1.0
"""Largest L2 norm of the gradient, as BERT was trained."""


def run(paths: RunPaths, name: str, encoder: Encoder, language: Language, compute: Compute, seed: int) -> None:
    """Write the folder of one encoder: model and tokenizer in Hugging Face layout, and `pretraining.json`.

    Held-out texts, and near duplicates of them, are never trained on. An own vocabulary is made from all texts, theirs
    included: it is the same for the loss before and after.

    Raises:
        UserError: The encoder can't be found or loaded, or has too few positions for `pretrain.max_tokens`.
    """
    place = f"encoders.{name}"
    table = read_records(paths.records, paths.labels).table
    if not encoder.pretrain.test_text:
        table = table[table[PART] != TEST]
    heldout = draw_groups(table[DUPLICATE_GROUP].to_numpy(), encoder.pretrain.heldout_share, seed)
    if heldout.all():
        raise UserError(f"{place}.pretrain", "holds out every text", "give more texts, or pick a smaller heldout_share")

    own_seed = job_seed(seed, f"pretrain-{name}")
    prepare(compute.pretraining_threads, own_seed)
    tokenizer, model = _start(encoder, table[TEXT].tolist())
    check_length(model, encoder.pretrain.max_tokens, f"{place}.pretrain.max_tokens")
    checkpoint = paths.checkpoints(f"pretrain-{name}")
    outcome = Outcome()
    if isinstance(model, MaskedLM):
        texts = [table[rows][TEXT].tolist() for rows in (heldout, ~heldout)]
        unseen, seen = (_mask(tokenizer, each, encoder.pretrain, language) for each in texts)
        device = pick_device(compute.device)
        recipe = _recipe(encoder.pretrain, compute, bf16_available(device), own_seed)
        use_own_attention(model)
        if compute.compile:
            compile_layers(body_of(model), device)
        packed = packs(compute, device, recipe.bf16)
        outcome = pretrain(
            model,
            seen,
            unseen,
            recipe,
            name=f"s4 pretrain {name}",
            device=device,
            checkpoint=checkpoint,
            depends_on=f"{code_hash(__name__)} {packed} {compute.compile}",
            packed=packed,
        )

    with replacing(paths.encoder(name)) as folder:
        save_folder(folder, model.cpu(), tokenizer)
        write_json(folder / "pretraining.json", _report(name, encoder.pretrain, heldout, outcome))
    clear_checkpoint(checkpoint)
    losses = " -> ".join("none" if loss is None else f"{loss:.3f}" for loss in outcome[2:])
    print(f"s4 pretrain: {name}, {len(table)} texts, {outcome.steps} steps, held-out loss {losses}", file=sys.stderr)


def _start(encoder: Encoder, texts: list[str]) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    """Make or load what training starts from; an encoder alone where nothing is to give it a masked-LM head."""
    if encoder.source == "own":
        tokenizer = new_tokenizer(encoder.tokenizer, texts, encoder.vocabulary_size)
        own = new_encoder(
            encoder.architecture,
            vocabulary_size=len(tokenizer),
            layers=encoder.layers,
            hidden_size=encoder.hidden_size,
            heads=encoder.heads,
            intermediate_size=encoder.intermediate_size,
            max_positions=encoder.max_positions,
            dropout=DROPOUT_FROM_SCRATCH,
        )
        return tokenizer, own
    source = fetch(find_source(encoder.path, encoder.distribution))
    loaded = load_masked_lm(source, DROPOUT_CONTINUED)
    if loaded.fresh_head and encoder.pretrain.epochs == 0:
        return load_tokenizer(source), load_encoder(source, DROPOUT_CONTINUED)
    return load_tokenizer(source), loaded.model


def _mask(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], settings: Pretrain, language: Language
) -> MaskedExamples:
    return mask_texts(
        tokenizer,
        texts,
        max_tokens=settings.max_tokens,
        language=language,
        whole_words=settings.whole_words,
        mask_share=settings.mask_share,
    )


def _report(
    name: str, settings: Pretrain, heldout: npt.NDArray[np.bool_], outcome: Outcome
) -> dict[str, str | int | float | None]:
    return {
        "encoder": name,
        "texts": len(heldout),
        "heldout_texts": int(heldout.sum()),
        "test_text": settings.test_text,
        "steps": outcome.steps,
        "seconds": outcome.seconds,
        "heldout_loss_before": outcome.loss_before,
        "heldout_loss_after": outcome.loss_after,
    }


def _recipe(settings: Pretrain, compute: Compute, bf16: bool, seed: int) -> Recipe:
    return Recipe(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        head_learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_share=settings.warmup_share,
        clip_norm=CLIP_NORM,
        bf16=bf16,
        checkpoint_seconds=compute.checkpoint_seconds,
        seed=seed,
    )
