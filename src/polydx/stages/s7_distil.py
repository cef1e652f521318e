"""Stage 7: train the student of one fold, or the one on all rows that is shipped, and predict with it."""

import sys
from dataclasses import asdict
from functools import partial

import numpy as np

from polydx.artifacts import Floats, read_array, replacing, write_array, write_json
from polydx.config import Compute, Distil
from polydx.contest.records import PART, TEST, TEXT, TRAIN, UNLABELLED, read_records
from polydx.distil.student import is_head, new_student
from polydx.distil.teaching import FoldAnswers, Taught, teach_final, teach_fold
from polydx.distil.training import DistillationTask, score, transfer_set
from polydx.judge.folds import Folds, read_folds
from polydx.model.attention import choose_attention
from polydx.model.encoders import check_length, load_tokenizer, save_folder
from polydx.model.heads import start_at_rates
from polydx.model.tokens import encode
from polydx.paths import ALL_ROWS, RunPaths
from polydx.provenance import code_hash
from polydx.train.checkpoint import clear_checkpoint
from polydx.train.classification import predict_probabilities
from polydx.train.device import bf16_available, job_seed, pick_device, prepare
from polydx.train.loop import Recipe, fit


def run(
    paths: RunPaths,
    fold: int | None,
    distil: Distil,
    teachers: tuple[str, ...],
    teacher_round: int,
    compute: Compute,
    seed: int,
) -> None:
    """Write the student and its probabilities; its validation rows' too, if it has a fold.

    Args:
        paths: The run's files.
        fold: The fold job; None trains on all labelled rows.
        distil: The student's settings.
        teachers: Members that teach: the plain mean of their probabilities.
        teacher_round: The round their models are of.
        compute: Threads, device, checkpoints.
        seed: The run's seed; the job's own is derived from it.

    Raises:
        UserError: The encoder, its layers or the length don't go together.
    """
    name = ALL_ROWS if fold is None else fold
    job = f"distil-{name}"
    own_seed = job_seed(seed, job)
    prepare(compute.threads, own_seed)
    records, folds = read_records(paths.records, paths.labels), read_folds(paths.folds)
    train, test, unlabelled = (
        np.flatnonzero(records.table[PART].to_numpy() == part) for part in (TRAIN, TEST, UNLABELLED)
    )
    learned = np.ones(len(train), dtype=bool) if fold is None else folds.training(fold)
    taught = teach(paths, folds, fold, teachers, teacher_round)
    drawn = np.sort(np.random.default_rng(own_seed).permutation(len(unlabelled))[: distil.max_unlabelled])

    model = new_student(paths.encoder(distil.encoder), distil.layers, records.label_names, distil.dropout)
    start_at_rates(model.classifier.bias, records.targets()[learned])
    check_length(model, distil.max_tokens, "distil.max_tokens")
    tokenizer = load_tokenizer(paths.encoder(distil.encoder))
    tokenizer.model_max_length = distil.max_tokens
    tokens = encode(tokenizer, records.table[TEXT].tolist(), distil.max_tokens)
    device = pick_device(compute.device)
    recipe = _recipe(distil, compute, distil.bf16 == "auto" and bf16_available(device), own_seed)
    choose_attention(model, device, recipe.bf16)
    checkpoint = paths.checkpoints(job)
    fitted = fit(
        DistillationTask(model, distil.temperature, distil.soft_weight),
        transfer_set(
            tokens,
            np.concatenate([train[learned], test, unlabelled[drawn]]),
            np.concatenate([taught.labelled, taught.test, taught.unlabelled[drawn]]),
            records.targets()[learned],
        ),
        recipe,
        name=f"s7 {job}",
        is_head=lambda parameter: is_head(parameter.removeprefix("model.")),
        device=device,
        checkpoint=checkpoint,
        depends_on=f"{distil} {code_hash(__name__)}",
    )

    files = paths.student(name)
    predicted = {files.test: test, files.unlabelled: unlabelled}
    if fold is not None:
        predicted[files.validation] = train[~learned]
    for target, rows in predicted.items():
        score_batch, labels = partial(score, model), len(records.label_names)
        write_array(target, predict_probabilities(score_batch, tokens, rows, labels, device, recipe.bf16))
    with replacing(files.model) as folder:
        save_folder(folder, model, tokenizer)
    report = {
        "member": "student",
        "round": teacher_round,
        "fold": name,
        "training_rows": int(learned.sum()),
        "pseudo_rows": len(test) + len(drawn),
        **asdict(fitted),
    }
    write_json(files.report, report)
    clear_checkpoint(checkpoint)
    rows_learned = f"{report['training_rows']} labelled and {report['pseudo_rows']} other rows"
    print(f"s7 {job}: {rows_learned} in {fitted.seconds} s", file=sys.stderr)


def teach(paths: RunPaths, folds: Folds, fold: int | None, members: tuple[str, ...], teacher_round: int) -> Taught:
    """Read what one student may learn; a fold's student opens only files of its own fold's models."""
    if fold is not None:
        return teach_fold(_answers(paths, fold, members, teacher_round))
    return teach_final(folds, [_answers(paths, job, members, teacher_round) for job in range(folds.jobs)])


def _answers(paths: RunPaths, fold: int, members: tuple[str, ...], teacher_round: int) -> FoldAnswers:
    models = [paths.fold_model(member, teacher_round, fold) for member in members]

    def mean(kind: str) -> Floats:
        return np.asarray(np.mean([read_array(getattr(model, kind)) for model in models], axis=0))

    return FoldAnswers(mean("training"), mean("validation"), mean("test"), mean("unlabelled"))


def _recipe(distil: Distil, compute: Compute, bf16: bool, seed: int) -> Recipe:
    return Recipe(
        epochs=distil.epochs,
        batch_size=distil.batch_size,
        learning_rate=distil.learning_rate,
        head_learning_rate=distil.head_learning_rate,
        weight_decay=distil.weight_decay,
        warmup_share=distil.warmup_share,
        clip_norm=distil.clip_norm,
        bf16=bf16,
        checkpoint_seconds=compute.checkpoint_seconds,
        seed=seed,
    )
