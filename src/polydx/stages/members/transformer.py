"""Fitting a member on an encoder."""

import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import torch

from polydx.artifacts import Floats, replacing
from polydx.config import Adversary, Pseudo, TransformerMember
from polydx.errors import UserError
from polydx.judge.held_out import draw_groups
from polydx.judge.metrics import Mask
from polydx.model.attention import use_own_attention
from polydx.model.classifier import TextClassifier, load_classifier, save_classifier
from polydx.model.compilation import compile_layers
from polydx.model.encoders import load_encoder
from polydx.model.heads import start_at_rates
from polydx.model.layers import layers_of
from polydx.model.reading import save_reading
from polydx.model.starting import average_over_masks, reinitialise_top
from polydx.semi.ramps import pseudo_weight
from polydx.stages.members.design import new_model
from polydx.stages.members.job import Fitted, FoldJob, FoldRows
from polydx.stages.members.lower import open_lower_states
from polydx.stages.readings import prediction_reading, training_reading
from polydx.stages.recipes import new_recipe, packs
from polydx.stages.token_files import open_tokens
from polydx.train.classification import LabelledExamples, predict_probabilities, train_classifier
from polydx.train.device import job_seed, prepare
from polydx.train.distributed import Processes, join
from polydx.train.fit_report import FitReport
from polydx.train.loop import Recipe
from polydx.train.losses.distribution_balanced import BalancedShape
from polydx.train.losses.objective import LossShapes, Objective, bce_and_soft_f1
from polydx.train.perturbations.awp import AWP
from polydx.train.perturbations.embeddings import EmbeddingPoint
from polydx.train.perturbations.fgm import FGM
from polydx.train.perturbations.freelb import FreeLB
from polydx.train.perturbations.interface import Perturbation
from polydx.train.perturbations.pgd import PGD
from polydx.train.perturbations.r_drop import RDrop
from polydx.train.perturbations.sam import SAM
from polydx.train.perturbations.vat import VAT
from polydx.train.utilisation import Utilisation, training_flops, utilisation


def fit(member: TransformerMember, job: FoldJob) -> Fitted | None:
    """Start from the encoder, or from the round before; train; save the classifier.

    Returns:
        None where another process of this job saves it and predicts.
    """
    own_seed = job_seed(job.seed, job.name)
    prepare(job.compute.threads, own_seed)
    processes = join(job.compute.device)
    model, examples, recipe = _set_up(member, job, processes, own_seed)
    report = _train(member, job, model, examples, recipe, processes)
    processes.leave()
    if processes.rank > 0:
        return None
    used = _used(member, model, report, examples, processes, recipe.bf16)
    _print_speed(job.name, report, used)
    later = prediction_reading(member)
    with replacing(job.files.model) as folder:
        folder.mkdir()
        save_classifier(model, folder)
        save_reading(later, folder)
    tokens = examples.tokens if later == training_reading(member) else open_tokens(job.paths, member.encoder, later)
    labels, device, lower = job.rows.targets.shape[1], processes.device, examples.lower
    return Fitted(
        lambda places: predict_probabilities(model, tokens, places, labels, device, recipe.bf16, lower),
        asdict(report) | asdict(used),
    )


def _set_up(
    member: TransformerMember, job: FoldJob, processes: Processes, own_seed: int
) -> tuple[TextClassifier, LabelledExamples, Recipe]:
    """The model before its training, what it learns from, and how."""
    rows, device = job.rows, processes.device
    tokens = open_tokens(job.paths, member.encoder, training_reading(member))
    model = _start(member, job, None if tokens.side is None else tokens.side[rows.training])
    recipe = _recipe(member, job, new_recipe(member, job.compute, device, own_seed))
    # Each process times bf16 for itself, and a close call may fall either way.
    recipe = replace(recipe, bf16=bool(processes.of_main(recipe.bf16)))
    if member.long_records.performer_features is None:
        for encoder in model.encoders:
            use_own_attention(encoder)
        model.packed = packs(job.compute, device, recipe.bf16)
    if job.compute.compile:
        for encoder in model.encoders:
            compile_layers(encoder, device)
    lower = open_lower_states(job.paths, job.member, member, model.encoder, tokens)
    return model, LabelledExamples(tokens, rows.learned, rows.targets, rows.is_pseudo, lower), recipe


def _train(
    member: TransformerMember,
    job: FoldJob,
    model: TextClassifier,
    examples: LabelledExamples,
    recipe: Recipe,
    processes: Processes,
) -> FitReport:
    rows = job.rows
    return train_classifier(
        model,
        examples,
        recipe,
        name=f"s5 finetune {job.name}",
        device=processes.device,
        checkpoint=job.checkpoint,
        depends_on=f"{member} {job.pseudo} {job.code} {model.packed} {job.compute.compile}",
        objective=_objective(member, rows, processes),
        pseudo_weight=_ramp(job.pseudo),
        adversary=_perturbation(member.adversary, model, processes),
        # A model that goes on from the round before has had its clean epochs.
        adversary_start_epoch=member.adversary.start_epoch if job.previous is None else 0.0,
        inner=_inner_slice(member, job),
        processes=processes,
    )


def _used(
    member: TransformerMember,
    model: TextClassifier,
    report: FitReport,
    examples: LabelledExamples,
    processes: Processes,
    bf16: bool,
) -> Utilisation:
    """What training took of the machine: layers whose output was kept from before did not run."""
    attended = member.long_records.performer_features or training_reading(member).sequence_tokens
    layers = layers_of(model.encoder)[0 if examples.lower is None else model.frozen_layers :]
    flops = training_flops(layers, examples.lengths, attended)
    return utilisation(flops, report.examples_per_second, processes.device, bf16, processes.size)


def _print_speed(name: str, report: FitReport, used: Utilisation) -> None:
    speed = f"{report.examples_per_second:.1f} examples/s, {report.tokens_per_second:.0f} tokens/s"
    share = f"{used.flops_per_second / 1e9:.1f} GFLOP/s, {used.mfu:.0%} of the matrix rate"
    print(f"s5 finetune {name}: {speed}, {report.padding_share:.1%} padding, {share}", file=sys.stderr)


def _start(member: TransformerMember, job: FoldJob, side: Floats | None) -> TextClassifier:
    """`side` is `[training rows, features]`, the numbers beside the text that set their scale."""
    if job.previous is None:
        encoder = load_encoder(job.paths.encoder(member.encoder), member.dropout)
        place = f"members.{job.member}.reinitialised_layers"
        reinitialise_top(encoder, member.reinitialised_layers, place, member.frozen_layers or 0)
        model = new_model(encoder, job.member, member, job.rows.targets.shape[1], side)
        start_at_rates(model.head.bias, job.rows.targets[~job.rows.is_pseudo])
        with torch.no_grad():
            # The objective adds what is missing to the labels' rates.
            model.head.bias.mul_(1 - member.losses.logit_adjustment)
    else:
        model = load_classifier(job.previous, member.dropout)
    if member.frozen_layers is not None:
        model.freeze_lower(member.frozen_layers, f"members.{job.member}.frozen_layers")
    average_over_masks(model.head, member.dropout_samples)
    if member.gradient_checkpointing:
        for each in model.encoders:
            # Renamed in later versions of the library, which keep this name until version 6.
            each.gradient_checkpointing_enable({"use_reentrant": False})
    return model


def _inner_slice(member: TransformerMember, job: FoldJob) -> Mask | None:
    """Which rows that it learns from choose its best epoch; the same in every round, as weights go on from the last."""
    if member.weights != "inner":
        return None
    seed = job_seed(job.seed, f"{job.member}-fold{job.fold}-inner")
    inner = draw_groups(job.rows.groups, member.inner_share, seed)
    if inner.all():
        problem = f"is {member.inner_share}: it sets aside every row that fold {job.fold} learns from"
        raise UserError(f"members.{job.member}.inner_share", problem, "make it smaller, or give more records")
    return np.concatenate([inner, np.zeros(len(job.rows.pseudo), dtype=bool)])


def _recipe(member: TransformerMember, job: FoldJob, schedule: Recipe) -> Recipe:
    return replace(
        schedule,
        epochs=member.epochs if job.pseudo is None else job.pseudo.epochs,
        average_decay=member.average_decay if member.weights == "averaged" else None,
        swa_start=member.swa_start if member.weights == "swa" else None,
        layer_decay=member.layer_decay,
        patience=member.patience,
        accumulate=member.accumulate,
        batch_tokens=member.batch_tokens,
    )


def _objective(member: TransformerMember, rows: FoldRows, processes: Processes) -> Objective:
    losses = member.losses
    return Objective(
        losses.weights or bce_and_soft_f1(member.soft_f1_weight),
        losses.later_weights,
        losses.ramp,
        rows.targets[~rows.is_pseudo],
        LossShapes(
            class_weight_power=losses.class_weight_power,
            logit_adjustment=losses.logit_adjustment,
            asl_negative_focus=losses.asl.negative_focus,
            asl_positive_focus=losses.asl.positive_focus,
            asl_clip=losses.asl.clip,
            focal_focus=losses.focal.focus,
            focal_positive_share=losses.focal.positive_share,
            sigmoid_f1_slope=losses.sigmoid_f1.slope,
            sigmoid_f1_offset=losses.sigmoid_f1.offset,
            balanced=BalancedShape(**losses.distribution_balanced.model_dump()),
        ),
        processes.total,
    )


def _perturbation(adversary: Adversary, model: TextClassifier, processes: Processes) -> Perturbation | None:
    point = EmbeddingPoint(model.word_embedding, adversary.target, processes.total)
    freelb, vat = adversary.freelb, adversary.vat
    match adversary.method:
        case "none":
            return None
        case "fgm":
            return FGM(point, adversary.epsilon)
        case "pgd":
            return PGD(point, adversary.epsilon, adversary.alpha, adversary.steps)
        case "freelb":
            return FreeLB(point, freelb.steps, freelb.rate, freelb.start_norm, freelb.max_norm)
        case "awp":
            return AWP(model.parameters(), adversary.awp.rate, adversary.awp.epsilon)
        case "sam":
            return SAM(model.parameters(), adversary.sam_rho)
        case "r_drop":
            return RDrop(model, adversary.r_drop_alpha)
        case "vat":
            return VAT(model, point, vat.xi, vat.epsilon, vat.iterations, vat.weight)


def _ramp(pseudo: Pseudo | None) -> Callable[[float], float]:
    if pseudo is None:
        return lambda _progress: 0.0
    return partial(pseudo_weight, start=pseudo.ramp_start, end=pseudo.ramp_end, final=pseudo.final_weight)
