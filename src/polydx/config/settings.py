"""Settings of the run, its encoders, pseudo-labels, stacking and machine, and all of them together."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from polydx.config.base import Count, Name, Positive, Rate, Section, Share, each_once
from polydx.config.data import Clean, Contest, Inspect, Split
from polydx.config.members import Member
from polydx.config.student import Compress, Distil
from polydx.names import (
    Architecture,
    CalibrationMethod,
    FoldCombination,
    FusionName,
    PseudoCutoff,
    SubmissionFormat,
    ThresholdMethod,
    TokenizerName,
)


class Run(Section):
    """What identifies a run."""

    name: Name
    """Artefacts go to `runs/<name>`, the result to `submissions/<name>`."""
    seed: Count
    """Seed of everything drawn at random: folds, weights, batches, masks, bootstrap."""


class Pretrain(Section):
    """Masked-language-model training of one encoder on the contest's text."""

    epochs: Count
    """Passes over the text; 0 keeps the encoder as it is."""
    test_text: bool
    """Whether test records' text is used too (reported beside the scores)."""
    max_tokens: Annotated[int, Field(ge=8)]
    """Longest sequence."""
    batch_size: Positive
    """Sequences a step."""
    learning_rate: Rate
    """Peak rate; linear warm-up and decay."""
    weight_decay: Annotated[float, Field(ge=0.0)]
    """AdamW's decoupled weight decay."""
    warmup_share: Share
    """Share of the steps spent warming up."""
    mask_share: Annotated[float, Field(gt=0.0, lt=1.0)]
    """Share of the tokens to recover (80% masked, 10% random, 10% kept)."""
    whole_words: bool
    """Mask all tokens of a word together; Chinese words by jieba."""
    heldout_share: Annotated[float, Field(gt=0.0, lt=0.5)]
    """Share of the texts kept out, to report the loss before and after."""


class Encoder(Section):
    """A text encoder: made here from the contest's own text, or loaded."""

    source: Literal["own", "pretrained"]
    """`own` starts from random weights and an own vocabulary; `pretrained` loads `path` or `package`."""
    path: str | None
    """Hub id or local folder of a pretrained encoder."""
    package: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9.]+$")] | None
    """Python distribution, as `name==version`, that carries a pretrained encoder in its `model/` folder."""
    architecture: Architecture
    """Model type of an own encoder."""
    tokenizer: TokenizerName
    """Vocabulary of an own encoder: Chinese characters, word pieces, or whole words."""
    vocabulary_size: Annotated[int, Field(ge=32)]
    """Most entries of an own vocabulary."""
    layers: Positive
    """Transformer layers of an own encoder."""
    hidden_size: Positive
    """Width of an own encoder."""
    heads: Positive
    """Attention heads of an own encoder; they divide the width."""
    intermediate_size: Positive
    """Width of an own encoder's feed-forward layers."""
    max_positions: Annotated[int, Field(ge=16)]
    """Longest sequence an own encoder can read."""
    pretrain: Pretrain
    """Its pre-training."""

    @property
    def distribution(self) -> str | None:
        """Name of `package` without its version."""
        return None if self.package is None else self.package.partition("==")[0]


class Pseudo(Section):
    """Pseudo-labels of confident test and unlabelled rows, fold-safe."""

    rounds: Annotated[int, Field(ge=0, le=3)]
    """Rounds of training after round 0; 0 switches pseudo-labels off."""
    cutoff: PseudoCutoff
    """Positives above a fixed probability, or as many of each label as its share among the training rows."""
    positive_above: Share
    """`fixed`: a label is confidently present above this."""
    negative_below: Share
    """A label is confidently absent below this; a row with a label in between is not taken."""
    targets: Literal["soft", "hard"]
    """Teach the probabilities themselves, or 0 and 1."""
    max_share: Rate
    """Most pseudo-rows, as a share of the fold's labelled rows; the most confident stay."""
    test_rows: bool
    """Whether test rows may be taken (reported beside the scores)."""
    final_weight: Annotated[float, Field(ge=0.0)]
    """Weight of a pseudo-row at the end of the ramp (alpha_f of Lee 2013)."""
    ramp_start: Share
    """Share of the training before which the weight is zero (T1)."""
    ramp_end: Share
    """Share of the training after which it stays at `final_weight` (T2)."""
    continue_weights: bool
    """Start from the previous round's weights of the same fold instead of the encoder."""
    epochs: Annotated[float, Field(gt=0.0)]
    """Passes over the labelled rows in these rounds."""


class Stack(Section):
    """Fusion, thresholds and honest scores."""

    candidates: Annotated[tuple[FusionName, ...], Field(min_length=1), AfterValidator(each_once)]
    """Fusions that compete, chosen by nested cross-validation; `mean` is what the others are compared with."""
    fuse_student: bool
    """Whether the student is fused with the members; it competes by itself either way."""
    calibration: CalibrationMethod
    """How the fusion `calibrated` calibrates each of its inputs."""
    record_features: bool
    """Whether the stacker sees age, sex, lengths, other numbers and categories."""
    record_number: bool
    """Whether the stacker sees label rates around a record's number, in its run too: a leak, off for new patients."""
    neighbour_widths: Annotated[tuple[Positive, ...], AfterValidator(each_once)]
    """Neighbours on either side, and bandwidths of kernels over the record number."""
    trees: Positive
    """Trees of each LightGBM model; with early stopping, the most."""
    early_stopping: Count
    """Trees without a gain on an inner fold after which a model has enough; 0 grows all of them."""
    tree_learning_rate: Rate
    """Their learning rate."""
    leaves: Annotated[int, Field(ge=2)]
    """Their leaves."""
    min_leaf_rows: Positive
    """Fewest rows in a leaf."""
    frequent_positives: Positive
    """Labels with at least so many positives get a model each; the rarer ones share one."""
    thresholds: ThresholdMethod
    """Each label's own, pulled towards the pooled one; the pooled one; half the best F1 on calibrated probabilities."""
    threshold_prior: Annotated[float, Field(ge=0.0)]
    """Positives' worth of pull of a label's threshold towards the pooled one, and of its weights and calibration."""
    fold_combination: FoldCombination
    """Test rows by the mean of the fold models, their vote, or the mean in the distribution of single models."""
    min_labels: Count
    """Fewest labels of a record."""
    max_labels: Positive
    """Most labels of a record."""
    bootstrap_samples: Annotated[int, Field(ge=100)]
    """Resamples of the records behind each interval."""


class Submit(Section):
    """What is uploaded."""

    format: SubmissionFormat
    """`{id: [labels]}`, a table of ids and joined labels, or a table of probabilities."""
    label_delimiter: Annotated[str, Field(min_length=1, pattern=r"^[^\r\n]*$")]
    """What joins labels in `csv_labels`."""


def _switch(value: object) -> object:
    """YAML takes a bare `on` or `off` for a truth value."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


class Compute(Section):
    """How the machine is used."""

    cores: Count
    """Cores the engine may fill; 0 for all of them."""
    threads: Positive
    """Threads of one training job: several single-threaded jobs beat one job of several threads on small models."""
    pretraining_threads: Positive
    """Threads of one pre-training job; worth more than 1 where encoders are fewer than cores."""
    device: Literal["auto", "cpu", "cuda"]
    """Where neural jobs run; on GPUs, each job on one of its own."""
    packing: Annotated[Literal["auto", "on", "off"], BeforeValidator(_switch)]
    """Whether pre-training and members run their encoder's layers without padding: always, never, or on a GPU in bf16.

    Linear attention, the distilled student and what frozen layers make of the records stay padded."""
    compile: bool
    """Whether pre-training and members compile their encoder's layers, those above kept states of frozen ones excepted.

    PGD and VAT save less then: what is compiled computes all gradients, also those that an inner pass doesn't need."""
    checkpoint_seconds: Rate
    """Seconds between checkpoints inside a training job."""


class Settings(Section):
    """Everything a run depends on."""

    run: Run
    contest: Contest
    clean: Clean
    inspect: Inspect
    split: Split
    encoders: dict[Name, Encoder]
    members: Annotated[dict[Name, Member], Field(min_length=1)]
    pseudo: Pseudo
    distil: Distil
    stack: Stack
    compress: Compress
    submit: Submit
    compute: Compute
