"""Settings of the raw contest data, their cleaning, inspection and folds."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from polydx.config.base import Count, Positive, Section
from polydx.names import FoldScheme, Language, TableFormat, UnofficialLabels, WithoutLabels


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
    order: str | None
    """Column of numbers or dates that order the records, for neighbours and leaks; null takes the ids' last digits."""


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
    language: Language
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
    format: TableFormat
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
    without_labels: WithoutLabels
    """What a training record without any official label is: left out, or a real row with nothing to find."""
    unofficial_labels: UnofficialLabels
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

    scheme: FoldScheme
    """Multi-label stratified k-fold, the same repeated, k-fold without strata, or one held-out share."""
    folds: Annotated[int, Field(ge=2)]
    """Folds a repeat; unused by `holdout`."""
    repeats: Positive
    """Repeats of `repeated`; 1 for the other schemes."""
    holdout_share: Annotated[float, Field(gt=0.0, lt=1.0)]
    """Share of the rows that `holdout` keeps for validation."""
