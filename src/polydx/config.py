"""The settings of a run: one frozen model, checked before any work.

A configuration file holds only its differences from `configs/base.yaml`, which spells out every value. Members and
encoders are named entries; each is laid over the defaults of its kind (`encoder_defaults`, `transformer_defaults`,
`linear_defaults`), so that a file says only what is special about it.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0.0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
"""A run's, member's or encoder's name: it becomes a folder's."""


class Section(BaseModel):
    """Base of every part of the settings: frozen, typed strictly, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Run(Section):
    """What identifies a run."""

    name: Name
    """Artefacts go to `runs/<name>`, the result to `submissions/<name>`."""
    seed: Count
    """Seed of everything drawn at random: folds, weights, batches, masks, bootstrap."""


class Columns(Section):
    """Which column of the raw tables plays which role."""

    id: str
    """Column with the record's unique id, kept as text."""
    sections: Annotated[tuple[str, ...], Field(min_length=1)]
    """Text columns in reading order."""
    age: str | None
    """Column with the age in any spelling ("Y48", "3岁4月", "7"), or null."""
    sex: str | None
    """Column with the sex, or null."""
    numbers: tuple[str, ...]
    """Other numeric columns, used by the stacker."""
    categories: tuple[str, ...]
    """Other categorical columns, used by the stacker."""
    labels: str
    """Column with the labels, in the training table (and in a truth table)."""
    label_delimiter: Annotated[str, Field(min_length=1)] | None
    """What separates labels where the column holds a text; null where it holds a list."""


class SampleSize(Section):
    """Size of the generated sample contest."""

    train: Positive
    """Training records."""
    test: Positive
    """Test records."""
    unlabelled: Positive
    """Unlabelled records."""
    seed: Count
    """Seed of the generator."""


class Contest(Section):
    """The raw contest folder; it is never written to."""

    folder: Path
    """Folder that the file names below are relative to."""
    language: Literal["zh", "en", "tokens"]
    """How words are found: jieba, a regular expression for letters and digits, or white space."""
    train: Annotated[tuple[str, ...], Field(min_length=1)]
    """Tables with labels."""
    test: str
    """Table to predict; a label column in it is dropped when read."""
    unlabelled: str | None
    """Table of further records without labels, or null."""
    truth: str | None
    """Answers of the test table, read by nothing but the scoring rule: `{id: [labels]}` or a table; null if unknown."""
    labels: str | None
    """Text file with the official labels, one a line; null takes every label of the training tables."""
    aliases: str | None
    """JSON file `{spelling: official label}`, or null."""
    format: Literal["auto", "json", "jsonl", "csv", "parquet", "excel"]
    """Format of the tables; `auto` goes by the file's ending."""
    separator: Annotated[str, Field(min_length=1)]
    """Column separator of `csv`, of any length."""
    encoding: str
    """Text encoding of the tables."""
    columns: Columns
    """Roles of the columns."""
    sample: SampleSize | None
    """Generate the sample contest into `folder` first; null where the folder is real."""


class Clean(Section):
    """How raw fields become records."""

    headings: dict[str, tuple[str, ...]]
    """Headings that a section's text may repeat at its start ("主诉："), by column; the first one names the section."""
    placeholders: tuple[str, ...]
    """Texts that stand for a missing field."""
    without_labels: Literal["drop", "keep"]
    """What a training record without any official label is: left out, or a real row with nothing to find."""
    unofficial_labels: Literal["drop", "refuse"]
    """Labels of the training table outside the official list: dropped and counted, or an error."""
    duplicate_similarity: Annotated[float, Field(gt=0.0, le=1.0)]
    """Records whose character shingles have at least this Jaccard similarity form one group."""
    shingle_characters: Positive
    """Length of a shingle."""
    minhash_permutations: Annotated[int, Field(ge=16)]
    """Length of a MinHash signature."""


class Inspect(Section):
    """What the inspection measures."""

    adversarial_folds: Annotated[int, Field(ge=2)]
    """Folds of the classifier that tells train from test rows."""
    neighbours: Positive
    """Nearest records by record number, and by row order, whose labels are tried as predictors."""
    permutations: Annotated[int, Field(ge=2)]
    """Random orders that show what chance gives."""


class Split(Section):
    """How training rows are dealt into folds; groups of duplicates are never parted."""

    scheme: Literal["stratified", "repeated", "plain", "holdout"]
    """Multi-label stratified k-fold, the same repeated, k-fold without strata, or one held-out share."""
    folds: Annotated[int, Field(ge=2)]
    """Folds a repeat; unused by `holdout`."""
    repeats: Positive
    """Repeats of `repeated`; 1 for the other schemes."""
    holdout_share: Annotated[float, Field(gt=0.0, lt=1.0)]
    """Share of the rows that `holdout` keeps for validation."""


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
    architecture: Literal["bert", "ernie"]
    """Model type of an own encoder."""
    tokenizer: Literal["characters", "wordpiece", "words"]
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


class Adversary(Section):
    """A perturbation of the word embeddings during fine-tuning."""

    method: Literal["none", "fgm", "pgd"]
    """None, FGM (Miyato 2017) or PGD (Madry 2018)."""
    target: Literal["table", "positions"]
    """The embedding table with one norm, or each example's embedded positions with a norm each."""
    epsilon: Rate
    """L2 norm of the perturbation (FGM) or of the ball it is projected to (PGD)."""
    alpha: Rate
    """Length of one PGD step."""
    steps: Positive
    """PGD steps."""
    start_epoch: Annotated[float, Field(ge=0.0)]
    """Epochs of clean training before it sets in."""


class LongRecords(Section):
    """How a record longer than one sequence is read."""

    mode: Literal["cut", "head_tail", "section_shares", "chunks", "two_streams"]
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


class TransformerMember(Section):
    """A fine-tuned encoder with a classification head."""

    kind: Literal["transformer"]
    """A member on an encoder."""
    encoder: str
    """Name of an entry of `encoders`."""
    max_tokens: Annotated[int, Field(ge=8)]
    """Most tokens read of a record; what becomes of a longer one says `long_records`."""
    long_records: LongRecords
    """Records longer than one sequence."""
    pooling: Literal["first", "mean", "attention", "label_attention", "laat", "binary"]
    """The head reads the first token, the L2-normalised mean of all tokens times 10, or attends with one query; attends
    for each label in one layer or two (LAAT); or reads the mean with a small network of its own for each label."""
    side_features: tuple[Literal["age", "sex", "lengths"], ...]
    """What enters beside the text: age, sex, each section's characters; standardised by the fold's training rows."""
    epochs: Annotated[float, Field(gt=0.0)]
    """Passes over the labelled rows in round 0."""
    batch_size: Positive
    """Rows a step."""
    learning_rate: Rate
    """Peak rate of the encoder."""
    head_learning_rate: Rate
    """Peak rate of the head."""
    weight_decay: Annotated[float, Field(ge=0.0)]
    """AdamW's decoupled weight decay; none on biases and norms."""
    warmup_share: Share
    """Share of the steps spent warming up; the rest decays linearly to zero."""
    clip_norm: Rate
    """Largest L2 norm of the gradient."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Dropout of hidden states and of the head."""
    soft_f1_weight: Share
    """Weight w of the loss (1 - w) BCE + w soft-F1."""
    adversary: Adversary
    """Perturbed training."""
    weights: Literal["last", "averaged", "inner"]
    """The last weights, their moving average, or the epoch best on an inner slice of the fold's training rows."""
    average_decay: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Decay a step of the moving average."""
    inner_share: Annotated[float, Field(gt=0.0, lt=0.5)]
    """Share of the fold's training rows that `weights: inner` sets aside."""
    bf16: Literal["auto", "never"]
    """bf16 autocast where the device has it, or never."""


class LinearMember(Section):
    """TF-IDF of words and character n-grams, one logistic regression a label."""

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
    inverse_regularisation: Rate
    """C of the logistic regression."""


Member = Annotated[TransformerMember | LinearMember, Field(discriminator="kind")]


class Pseudo(Section):
    """Pseudo-labels of confident test and unlabelled rows, fold-safe."""

    rounds: Annotated[int, Field(ge=0, le=3)]
    """Rounds of training after round 0; 0 switches pseudo-labels off."""
    cutoff: Literal["fixed", "prior"]
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


class Distil(Section):
    """One small student of all teachers, with a head that a stock class of the library has."""

    enabled: bool
    """Whether there is a student."""
    encoder: str
    """Entry of `encoders` whose layers the student starts from."""
    layers: Annotated[tuple[Count, ...], Field(min_length=1)]
    """Layers of that encoder to keep, from 0."""
    max_tokens: Annotated[int, Field(ge=8)]
    """Longest sequence."""
    epochs: Annotated[float, Field(gt=0.0)]
    """Passes over all rows it learns from."""
    batch_size: Positive
    """Rows a step."""
    learning_rate: Rate
    """Peak rate of the encoder."""
    head_learning_rate: Rate
    """Peak rate of the pooler and the head."""
    weight_decay: Annotated[float, Field(ge=0.0)]
    """AdamW's decoupled weight decay."""
    warmup_share: Share
    """Share of the steps spent warming up."""
    clip_norm: Rate
    """Largest L2 norm of the gradient."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)]
    """Dropout of hidden states and of the head."""
    temperature: Rate
    """T of the soft targets."""
    soft_weight: Share
    """Weight of the soft targets; the rest goes to the labels, where there are any."""
    max_unlabelled: Count
    """Most unlabelled rows in the transfer set."""
    bf16: Literal["auto", "never"]
    """bf16 autocast where the device has it, or never."""


class Stack(Section):
    """Fusion, thresholds and honest scores."""

    candidates: Annotated[tuple[Literal["mean", "weighted", "lightgbm"], ...], Field(min_length=1)]
    """Fusions that compete, chosen by nested cross-validation."""
    record_features: bool
    """Whether the stacker sees age, sex, lengths, other numbers and categories."""
    record_number: bool
    """Whether the stacker sees the labels of a record's neighbours by number: a leak, off for new patients."""
    neighbour_widths: tuple[Positive, ...]
    """Neighbours on either side, for each width."""
    trees: Positive
    """Trees of each LightGBM model."""
    tree_learning_rate: Rate
    """Their learning rate."""
    leaves: Annotated[int, Field(ge=2)]
    """Their leaves."""
    min_leaf_rows: Positive
    """Fewest rows in a leaf."""
    frequent_positives: Positive
    """Labels with at least so many positives get a model each; the rarer ones share one."""
    threshold_prior: Annotated[float, Field(ge=0.0)]
    """Positives' worth of pull of a label's threshold towards the pooled one."""
    min_labels: Count
    """Fewest labels of a record."""
    max_labels: Positive
    """Most labels of a record."""
    bootstrap_samples: Annotated[int, Field(ge=100)]
    """Resamples of the records behind each interval."""


class Submit(Section):
    """What is uploaded."""

    format: Literal["json_labels", "csv_labels", "csv_probabilities"]
    """`{id: [labels]}`, a table of ids and joined labels, or a table of probabilities."""
    label_delimiter: str
    """What joins labels in `csv_labels`."""


class Compute(Section):
    """How the machine is used."""

    cores: Count
    """Cores the engine may fill; 0 for all of them."""
    threads: Positive
    """Threads of one training job: several single-threaded jobs beat one job of several threads on small models."""
    pretraining_threads: Positive
    """Threads of one pre-training job; worth more than 1 where encoders are fewer than cores."""
    device: Literal["auto", "cpu", "cuda"]
    """Where neural jobs run."""
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
    submit: Submit
    compute: Compute
