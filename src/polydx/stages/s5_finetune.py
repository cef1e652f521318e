"""Stage 5: train one member on one fold in one round, and predict the rows that others need."""

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats, read_array, replacing, write_array, write_json
from polydx.config import Compute, LinearMember, Pseudo, TransformerMember
from polydx.contest.records import PART, TEST, TEXT, TRAIN, UNLABELLED, read_records
from polydx.judge.folds import Folds, read_folds
from polydx.paths import FoldFiles, RunPaths
from polydx.provenance import code_hash
from polydx.semi.ramps import pseudo_weight
from polydx.text.normalise import Language

IntArray = npt.NDArray[np.int64]
Predict = Callable[[IntArray], Floats]
"""Probabilities `[rows, labels]` of some places among all records."""


@dataclass(frozen=True)
class FoldRows:
    """Places, among all records, of the rows of one fold job; int64.

    Attributes:
        pseudo: The pseudo-labelled rows, among `test` and `unlabelled`.
        targets: `[training + pseudo, labels]`, float32 in [0, 1].
    """

    training: IntArray
    validation: IntArray
    test: IntArray
    unlabelled: IntArray
    pseudo: IntArray
    targets: Floats

    @property
    def learned(self) -> IntArray:
        """Rows that the model trains on, in the order of `targets`."""
        return np.concatenate([self.training, self.pseudo])

    @property
    def is_pseudo(self) -> npt.NDArray[np.bool_]:
        """`[training + pseudo]`: whether a row's targets are pseudo-labels."""
        return np.arange(len(self.targets)) >= len(self.training)


def run(
    paths: RunPaths,
    name: str,
    member: TransformerMember | LinearMember,
    round_number: int,
    fold: int,
    language: Language,
    pseudo: Pseudo | None,
    compute: Compute,
    teaches: bool,
    seed: int,
) -> None:
    """Train and predict.

    Args:
        paths: The run's files.
        name: The member's name.
        member: Its settings.
        round_number: 0 learns from labels only.
        fold: Fold job.
        language: How the linear member finds words.
        pseudo: Settings of the pseudo-labels; None in round 0.
        compute: Threads, device, checkpoints.
        teaches: Whether a student learns from this model: then its own training rows are predicted too.
        seed: The run's seed; the job's own is derived from it.
    """
    started = time.monotonic()
    records = read_records(paths.records, paths.labels)
    texts = records.table[TEXT].tolist()
    rows = _rows(records.table[PART].to_numpy(), records.targets(), read_folds(paths.folds), fold)
    if pseudo is not None:
        rows = _with_pseudo_rows(rows, paths.pseudo(round_number, fold))
    files = paths.fold_model(name, round_number, fold)
    job = f"{name}-round{round_number}-fold{fold}"
    checkpoint = paths.checkpoints(f"finetune-{job}")

    if isinstance(member, LinearMember):
        weight = 1.0 if pseudo is None else pseudo.final_weight
        predict, figures = _fit_linear(member, texts, rows, language, weight, compute.threads, files)
    else:
        goes_on = pseudo is not None and pseudo.continue_weights
        predict, figures = _fit_transformer(
            name,
            member,
            texts,
            rows,
            paths.encoder(member.encoder),
            paths.fold_model(name, round_number - 1, fold).model if goes_on else None,
            pseudo,
            compute,
            job,
            seed,
            files,
            checkpoint,
        )

    write_array(files.validation, predict(rows.validation))
    write_array(files.test, predict(rows.test))
    write_array(files.unlabelled, predict(rows.unlabelled))
    if teaches:
        write_array(files.training, predict(rows.training))
    report = {
        "member": name,
        "round": round_number,
        "fold": fold,
        "training_rows": len(rows.training),
        "pseudo_rows": len(rows.pseudo),
        **figures,
        "seconds": round(time.monotonic() - started, 1),
    }
    write_json(files.report, report)
    checkpoint.unlink(missing_ok=True)
    print(
        f"s5 finetune {job}: {len(rows.training)} rows and {len(rows.pseudo)} pseudo-rows in {report['seconds']} s",
        file=sys.stderr,
    )


def _rows(part: npt.NDArray[np.str_], targets: Floats, folds: Folds, fold: int) -> FoldRows:
    train = np.flatnonzero(part == TRAIN)
    training = folds.training(fold)
    return FoldRows(
        training=train[training],
        validation=train[~training],
        test=np.flatnonzero(part == TEST),
        unlabelled=np.flatnonzero(part == UNLABELLED),
        pseudo=np.zeros(0, dtype=np.int64),
        targets=targets[training],
    )


def _with_pseudo_rows(rows: FoldRows, folder: Path) -> FoldRows:
    candidates = np.concatenate([rows.test, rows.unlabelled])
    return replace(
        rows,
        pseudo=candidates[read_array(folder / "rows.npy")],
        targets=np.concatenate([rows.targets, read_array(folder / "soft_labels.npy")]),
    )


def _fit_linear(
    member: LinearMember,
    texts: list[str],
    rows: FoldRows,
    language: Language,
    pseudo_row_weight: float,
    threads: int,
    files: FoldFiles,
) -> tuple[Predict, dict[str, float]]:
    """Logistic regression has no time to ramp over: pseudo-rows get their final weight, and the likelier answer."""
    # scikit-learn takes seconds to import, as torch does below; no job needs both.
    from polydx.model.linear import Features, fit_linear

    model = fit_linear(
        [texts[row] for row in rows.learned],
        (rows.targets >= 0.5).astype(np.float32),
        np.where(rows.is_pseudo, pseudo_row_weight, 1.0).astype(np.float32),
        Features(language, member.word_ngrams, member.character_ngrams, member.stop_words),
        min_documents=member.min_documents,
        max_features=member.max_features,
        inverse_regularisation=member.inverse_regularisation,
        threads=threads,
    )
    model.save(files.model)

    def predict(places: IntArray) -> Floats:
        if not len(places):
            return np.zeros((0, rows.targets.shape[1]), dtype=np.float32)
        return model.probabilities([texts[place] for place in places])

    return predict, {"steps": 0, "adversarial_steps": 0, "final_loss": 0.0}


def _fit_transformer(
    name: str,
    member: TransformerMember,
    texts: list[str],
    rows: FoldRows,
    encoder: Path,
    previous: Path | None,
    pseudo: Pseudo | None,
    compute: Compute,
    job: str,
    seed: int,
    files: FoldFiles,
    checkpoint: Path,
) -> tuple[Predict, dict[str, float]]:
    """`previous` is the classifier of the round before, to go on from; without it the encoder's weights start."""
    from polydx.model.attention import choose_attention
    from polydx.model.classifier import TextClassifier, load_classifier, save_classifier
    from polydx.model.encoders import check_length, load_encoder, load_tokenizer
    from polydx.model.heads import start_at_rates
    from polydx.model.tokens import encode
    from polydx.train.adversary import new_adversary
    from polydx.train.classification import LabelledExamples, predict_probabilities, train_classifier
    from polydx.train.device import bf16_available, job_seed, pick_device, prepare
    from polydx.train.loop import Recipe

    own_seed = job_seed(seed, job)
    prepare(compute.threads, own_seed)
    device = pick_device(compute.device)
    bf16 = member.bf16 == "auto" and bf16_available(device)
    labels = rows.targets.shape[1]
    if previous is None:
        model = TextClassifier(load_encoder(encoder, member.dropout), labels, member.pooling, member.dropout)
        start_at_rates(model.head.bias, rows.targets[~rows.is_pseudo])
    else:
        model = load_classifier(previous, member.dropout)
    check_length(model.encoder, member.max_tokens, f"members.{name}.max_tokens")
    choose_attention(model.encoder, device, bf16)
    tokens = encode(load_tokenizer(encoder), texts, member.max_tokens)
    adversary = member.adversary
    report = train_classifier(
        model,
        LabelledExamples(tokens, rows.learned, rows.targets, rows.is_pseudo),
        Recipe(
            epochs=member.epochs if pseudo is None else pseudo.epochs,
            batch_size=member.batch_size,
            learning_rate=member.learning_rate,
            head_learning_rate=member.head_learning_rate,
            weight_decay=member.weight_decay,
            warmup_share=member.warmup_share,
            clip_norm=member.clip_norm,
            bf16=bf16,
            checkpoint_seconds=compute.checkpoint_seconds,
            seed=own_seed,
            average_decay=member.average_decay if member.weights == "averaged" else None,
        ),
        name=f"s5 finetune {job}",
        device=device,
        checkpoint=checkpoint,
        depends_on=f"{member} {pseudo} {code_hash(__name__)}",
        soft_f1_weight=member.soft_f1_weight,
        pseudo_weight=_ramp(pseudo),
        adversary=new_adversary(
            adversary.method,
            adversary.target,
            model.word_embedding,
            adversary.epsilon,
            adversary.alpha,
            adversary.steps,
        ),
        # A model that goes on from the round before has had its clean epochs.
        adversary_start_epoch=adversary.start_epoch if previous is None else 0.0,
        inner_share=member.inner_share if member.weights == "inner" else None,
    )
    with replacing(files.model) as folder:
        folder.mkdir()
        save_classifier(model, folder)
    return lambda places: predict_probabilities(model, tokens, places, labels, device, bf16), asdict(report)


def _ramp(pseudo: Pseudo | None) -> Callable[[float], float]:
    if pseudo is None:
        return lambda _progress: 0.0
    return partial(pseudo_weight, start=pseudo.ramp_start, end=pseudo.ramp_end, final=pseudo.final_weight)
