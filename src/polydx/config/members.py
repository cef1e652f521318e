"""Settings of the ensemble's members."""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import Field

from polydx.config.base import Count, Focus, NotNegative, Positive, Rate, Schedule, Section, Share
from polydx.names import LinearLoss, LongMode, LossName, Perturbed, Pooling, SideFeature


class AsymmetricLoss(Section):
    """Shape of ASL (Ridnik 2021)."""

    negative_focus: Focus
    """Focusing power of the absent side (gamma-); 0, or at least 1."""
    positive_focus: Focus
    """Focusing power of the present side (gamma+); 0, or at least 1."""
    clip: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Probability below which a rightly absent label adds nothing."""


class FocalLoss(Section):
    """Shape of the focal loss (Lin 2017)."""

    focus: Focus
    """Focusing power (gamma); 0, or at least 1."""
    positive_share: Annotated[float, Field(gt=0.0, lt=1.0)]
    """Weight of the present side (alpha); the absent side has the rest."""


class SigmoidF1Loss(Section):
    """Shape of sigmoidF1 (Benedict 2021)."""

    slope: Rate
    """Steepness of the sigmoid whose values are counted (beta); the larger, the closer to counts of decisions."""
    offset: float
    """Added to the logits first (eta); moves the decision away from logit 0."""


class DistributionBalancedLoss(Section):
    """Shape of the distribution-balanced loss (Wu 2020)."""

    floor: NotNegative
    """Least weight of a row's label (alpha)."""
    slope: Rate
    """How fast the weight rises with the label's part in the row's being drawn (beta)."""
    centre: Share
    """The part at which the weight is half-way up (gamma)."""
    negative_scale: Rate
    """An absent label's logit is scaled up and its loss down by this (lambda)."""
    bias_scale: NotNegative
    """So many times a label's log-odds are added to its logit (kappa)."""
    focus: Focus
    """Focusing power; 0, or at least 1."""


class Losses(Section):
    """What a member minimises: a weighted sum that may change on the way."""

    weights: dict[LossName, Rate]
    """Weight of each loss; empty: (1 - w) BCE + w soft-F1 with w the setting `soft_f1_weight`."""
    later_weights: dict[LossName, Rate]
    """Weights after the ramp ({bce: 0.5, soft_f1: 0.5}: BCE first, F1 later); empty: the first ones throughout."""
    ramp: tuple[Share, Share]
    """Shares of the training between which the first weights turn linearly into the later ones."""
    class_weight_power: Share
    """BCE weighs a label's positives by (absent / present rows) to this power; 0 is plain BCE, 1 balances."""
    logit_adjustment: NotNegative
    """While training, so many times each label's log-odds log(p / (1 - p)) are added to its logit; 0 adds nothing."""
    asl: AsymmetricLoss
    """Shape of `asl`."""
    focal: FocalLoss
    """Shape of `focal`."""
    sigmoid_f1: SigmoidF1Loss
    """Shape of `sigmoid_f1`."""
    distribution_balanced: DistributionBalancedLoss
    """Shape of `distribution_balanced`."""


class FreeLB(Section):
    """FreeLB (Zhu 2020): every ascent step teaches."""

    steps: Positive
    """Ascent steps (K); each costs a forward and a backward pass, and there is no clean one."""
    rate: Rate
    """Length of a step (adv_lr)."""
    start_norm: NotNegative
    """L2 size of the random start, for each example (adv_init_mag)."""
    max_norm: NotNegative
    """Radius of the ball the offset is projected to (adv_max_norm); 0 for none."""


class AWP(Section):
    """Adversarial weight perturbation (Wu 2020)."""

    rate: Rate
    """Length of the step, as a share of each matrix's norm (adv_lr)."""
    epsilon: Rate
    """Largest change of an entry, as a share of its size (adv_eps)."""


class VAT(Section):
    """Virtual adversarial training (Miyato 2015); it needs no labels."""

    xi: Rate
    """Length of the probe whose gradient finds the direction; below 0.01 fp32 has little left of it."""
    epsilon: Rate
    """L2 norm of the perturbation."""
    iterations: Positive
    """Power iterations; each costs a forward pass and a backward pass to the embeddings."""
    weight: Rate
    """Weight of the divergence beside the loss."""


class Adversary(Section):
    """A perturbation during fine-tuning."""

    method: Literal["none", "fgm", "pgd", "freelb", "awp", "sam", "r_drop", "vat"]
    """None; FGM (Miyato 2017), PGD (Madry 2018), FreeLB and VAT move word embeddings; AWP and SAM (Foret 2021) move
    weights; R-Drop (Liang 2021) compares two dropout passes."""
    target: Perturbed
    """FGM, PGD and VAT: the embedding table with one norm, or each example's embedded positions with a norm each."""
    epsilon: Rate
    """FGM and PGD: L2 norm of the perturbation, or of the ball it is projected to."""
    alpha: Rate
    """PGD: length of a step."""
    steps: Positive
    """PGD: steps."""
    freelb: FreeLB
    """FreeLB, always on positions."""
    awp: AWP
    """AWP."""
    sam_rho: Rate
    """SAM: L2 norm of the ascent over all weights."""
    r_drop_alpha: Rate
    """R-Drop: weight of the divergence between two dropout passes."""
    vat: VAT
    """VAT."""
    start_epoch: NotNegative
    """Epochs of clean training before it sets in."""


class LongRecords(Section):
    """How a record longer than one sequence is read."""

    mode: LongMode
    """`cut`: the first `max_tokens` tokens. `head_tail`: the first and the last ones. `section_shares`: a fair share
    for each section, what short ones leave going to the others. `chunks`: every `chunk_tokens` tokens by themselves,
    the head attending to all of them (with `pooling: laat` it is PLM-ICD). `two_streams`: the first and the next
    `chunk_tokens` tokens, joined by a small transformer (with `pooling: attention` the contest's fifth place)."""
    head_share: Share
    """`head_tail`: share of the tokens taken from the start."""
    chunk_tokens: Annotated[int, Field(ge=8)]
    """`chunks`, `two_streams`: tokens of a chunk, special tokens included; `max_tokens` bounds the whole record."""
    own_encoders: bool
    """`two_streams`: a second encoder for the second stream, started from the same weights, or one for both."""
    joiner_layers: Positive
    """`two_streams`: layers of the transformer over both streams."""
    positions: Literal["fixed", "interpolated", "tiled"]
    """The encoder's positions as they are, or stretched or repeated where its sequences are longer than its table."""
    prediction_tokens: Annotated[int, Field(ge=8)] | None
    """Longest record when predicting, instead of `max_tokens`; null for the same."""
    performer_features: Positive | None
    """Random features of linear attention (Performer) in every layer; null for exact attention."""


class TransformerMember(Schedule):
    """A fine-tuned encoder with a classification head."""

    kind: Literal["transformer"]
    """A member on an encoder."""
    encoder: str
    """Name of an entry of `encoders`."""
    long_records: LongRecords
    """Records longer than one sequence; `max_tokens` is the most that is read of a record."""
    pooling: Pooling
    """The head reads the first token, the L2-normalised mean of all tokens times 10, or attends with one query; attends
    for each label in one layer or two (LAAT); or reads the mean with a small network of its own for each label."""
    side_features: tuple[SideFeature, ...]
    """What enters beside the text: age, sex, each section's characters; standardised by the fold's training rows."""
    soft_f1_weight: Share
    """Weight w of the loss (1 - w) BCE + w soft-F1, where `losses` doesn't name others."""
    losses: Losses
    """The loss in full."""
    adversary: Adversary
    """Perturbed training."""
    weights: Literal["last", "averaged", "swa", "inner"]
    """The last weights, their moving average, their plain average from `swa_start` on at a constant rate (SWA, Izmailov
    2018), or the epoch best on an inner slice of the fold's training rows."""
    average_decay: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Decay a step of the moving average."""
    swa_start: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Share of the training after which `weights: swa` averages, but not before the warm-up is over."""
    inner_share: Annotated[float, Field(gt=0.0, lt=0.5)]
    """Share of the fold's training rows that `weights: inner` sets aside."""
    patience: Positive | None
    """Epochs without a better inner score after which `weights: inner` ends training; null for none."""
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0)]
    """Each layer learns at so many times the rate of the layer above it."""
    reinitialised_layers: Count
    """Top layers of the encoder that start from random weights."""
    frozen_layers: Count | None
    """Lowest layers of the encoder that don't learn, nor do the embeddings, so that what they make of a record is
    computed once; null trains everything, 0 freezes the embeddings alone."""
    dropout_samples: Positive
    """Dropout masks of the head whose logits are averaged while training (Inoue 2019)."""
    accumulate: Positive
    """Micro-batches that a step's rows are split into: less memory, the same gradients. F1 losses take the counts of a
    micro-batch, and an adversary with one norm over the batch (target `table`, AWP, SAM) moves each its own way."""
    batch_tokens: Positive | None
    """Most padded tokens a step, beside `batch_size`, which is then the most rows: few long records or many short ones,
    each record counting the same. A longer record is a step by itself. Null for no bound."""
    gradient_checkpointing: bool
    """Recompute each layer in the backward pass: a third more time, much less memory."""

    @property
    def lower_states(self) -> str | None:
        """Name of what the frozen layers make of the records; the same for members that would compute the same."""
        if self.frozen_layers is None:
            return None
        reading = json.dumps([self.max_tokens, self.long_records.model_dump(mode="json"), self.bf16])
        return f"{self.encoder}-{self.frozen_layers}-{hashlib.sha256(reading.encode()).hexdigest()[:8]}"


class LinearMember(Section):
    """TF-IDF of words and character n-grams, one linear classifier a label."""

    kind: Literal["linear"]
    """A member without an encoder."""
    word_ngrams: Positive
    """Longest word n-gram."""
    character_ngrams: tuple[Positive, Positive] | None
    """Shortest and longest character n-gram, or null for none."""
    min_documents: Positive
    """Records an n-gram must occur in."""
    max_features: Positive
    """Most n-grams kept of each kind, the most frequent first."""
    stop_words: Literal["english"] | None
    """Words to leave out."""
    loss: LinearLoss
    """A logistic regression's, or a support vector machine's, whose margins a sigmoid then makes probabilities."""
    inverse_regularisation: Rate
    """C of either: the larger, the closer the fit."""


Member = Annotated[TransformerMember | LinearMember, Field(discriminator="kind")]
