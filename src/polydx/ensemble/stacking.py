"""LightGBM on top of the members: a label sees their log-odds for it and for related labels, and the record's features.

Labels with enough positives get a model each; the rarer ones share one, with the label as a feature, since one model a
label learns noise there. Their table has a row for each record and label; where it would grow too long, all positives
stay, and a sample of the negatives stands for the rest by its weight. Every model starts from a regularised logistic
combination of the members' log-odds, so that trees add what a weighted mean can't say instead of learning the mean
again step by step.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import lightgbm
import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.ensemble.combination import Coefficients, combine, fit_combination
from polydx.ensemble.neighbours import view_names
from polydx.ensemble.odds import log_odds, probability
from polydx.ensemble.record_features import RecordFeatures
from polydx.judge.metrics import Mask

Integers = npt.NDArray[np.int64]
_RELATED_LABELS = 4
_RIDGE = 20.0
POOLED_ROWS = 2_000_000
"""Longest table of the model that rare labels share: some 300 MB."""


@dataclass(frozen=True)
class StackerRecipe:
    """How the stacker is fitted.

    Attributes:
        trees: Trees of each model.
        learning_rate: Their learning rate.
        leaves: Their leaves.
        min_leaf_rows: Fewest rows in a leaf.
        frequent_positives: Labels with at least so many positives get a model each.
        threads: Models at work at once, each on one thread.
        seed: LightGBM's seed.
    """

    trees: int
    learning_rate: float
    leaves: int
    min_leaf_rows: int
    frequent_positives: int
    threads: int
    seed: int


@dataclass(frozen=True)
class StackInputs:
    """What the stacker sees of some rows.

    Attributes:
        members: `[members, rows, labels]`, float32, probabilities.
        rates: `[views, rows, labels]`, float32, label rates around the rows and what the members say of the neighbours
            there; no views where they are off.
        records: Features of the same rows.
    """

    members: Floats
    rates: Floats
    records: RecordFeatures

    def take(self, rows: Mask) -> "StackInputs":
        """The inputs of some rows: `rows` is `[rows]`, bool."""
        return StackInputs(self.members[:, rows], self.rates[:, rows], self.records.take(rows))


@dataclass(frozen=True)
class LabelModel:
    """The model of one label, or of all rare ones.

    Attributes:
        labels: The labels it is for.
        start: The combination that its trees start from.
        booster: The trees.
    """

    labels: tuple[int, ...]
    start: Coefficients
    booster: lightgbm.Booster


@dataclass(frozen=True)
class Stacker:
    """A fitted stacker.

    Attributes:
        models: Each label is in one of them.
        related: `[labels, related labels]`, whose mean log-odds each label sees.
        threads: Models at work at once.
    """

    models: tuple[LabelModel, ...]
    related: Integers
    threads: int

    def predict(self, inputs: StackInputs) -> Floats:
        """Fused probabilities `[rows, labels]`, float32."""
        columns = StackColumns(inputs, self.related)

        def predict_one(model: LabelModel, label: int) -> Floats:
            trees = model.booster.predict(columns.design(label), raw_score=True, num_threads=1)
            return probability(trees + combine(columns.own(label), model.start))

        jobs = [(model, label) for model in self.models for label in model.labels]
        fused = np.empty(inputs.members.shape[1:], dtype=np.float32)
        with ThreadPoolExecutor(self.threads) as pool:
            for (_, label), part in zip(jobs, pool.map(predict_one, *zip(*jobs, strict=True)), strict=True):
                fused[:, label] = part
        return fused

    def importance(self, names: Sequence[str]) -> dict[str, float]:
        """Each column's share of the gain over all models, largest first; `names` as by `column_names`."""
        gain = np.sum([model.booster.feature_importance("gain") for model in self.models], axis=0)
        shares = gain / gain.sum() if gain.sum() > 0 else gain
        return {names[index]: float(shares[index]) for index in np.argsort(-shares, kind="stable")}


def fit_stacker(inputs: StackInputs, targets: Mask, recipe: StackerRecipe) -> Stacker:
    """Fit the stacker on rows whose members' probabilities are out of fold.

    Args:
        inputs: What it sees of the rows.
        targets: `[rows, labels]`, bool.
        recipe: How.
    """
    related = _related_labels(log_odds(inputs.members).mean(axis=0))
    columns = StackColumns(inputs, related)
    frequent = targets.sum(axis=0) >= recipe.frequent_positives
    groups: list[tuple[int, ...]] = [(int(label),) for label in np.flatnonzero(frequent)]
    if not frequent.all():
        groups.append(tuple(np.flatnonzero(~frequent).tolist()))

    def fit_one(labels: tuple[int, ...]) -> LabelModel:
        rows, negative_weight = _keep_rows(targets[:, labels], POOLED_ROWS, recipe.seed)
        parts = list(zip(labels, rows, strict=True))
        wanted = np.concatenate([targets[kept, label] for label, kept in parts])
        own = np.concatenate([columns.own(label)[kept] for label, kept in parts])
        weights = np.where(wanted, 1.0, negative_weight).astype(np.float32)
        start = fit_combination(own, wanted, _RIDGE, weights)
        data = lightgbm.Dataset(
            np.concatenate([columns.design(label)[kept] for label, kept in parts]),
            wanted.astype(np.float32),
            weight=weights,
            init_score=combine(own, start),
            categorical_feature=columns.categorical(),
            params=_parameters(recipe),
        )
        return LabelModel(labels, start, lightgbm.train(_parameters(recipe), data, num_boost_round=recipe.trees))

    with ThreadPoolExecutor(recipe.threads) as pool:
        return Stacker(tuple(pool.map(fit_one, groups)), related, recipe.threads)


def column_names(members: Sequence[str], widths: Sequence[int], records: RecordFeatures, related: int) -> list[str]:
    """What the stacker's columns are called, in their order."""
    return [
        *(f"log-odds by {member}" for member in members),
        *view_names(widths),
        *(f"opinions by a kernel of {width} numbers" for width in widths),
        *(f"log-odds of related label {place + 1}" for place in range(related)),
        "highest log-odds of the record",
        "expected labels of the record",
        "label",
        *records.names,
    ]


def _keep_rows(targets: Mask, most: int, seed: int) -> tuple[list[Integers], float]:
    """Keep all positives, and as many negatives of each label, drawn alike, as bring the table near `most` rows.

    Args:
        targets: `[rows, labels]`, bool, of the labels that share a model.
        most: Rows of the table, over all labels; a single label keeps all its rows.
        seed: Of the draw.

    Returns:
        The rows kept of each label, and how many negatives each kept negative stands for.
    """
    positives = int(targets.sum())
    share = max(most - positives, positives) / max(targets.size - positives, 1)
    if share >= 1.0 or targets.shape[1] == 1:
        return [np.arange(len(targets))] * targets.shape[1], 1.0
    draw = np.random.default_rng(seed)
    return [np.flatnonzero(column | (draw.random(len(column)) < share)) for column in targets.T], 1.0 / share


class StackColumns:
    """Builds what the stacker sees of one label at a time."""

    def __init__(self, inputs: StackInputs, related: Integers) -> None:
        self._odds, self._rates, self._records, self._related = (
            log_odds(inputs.members),
            inputs.rates,
            inputs.records,
            related,
        )
        self._mean = self._odds.mean(axis=0)
        self._highest = self._mean.max(axis=1)
        self._expected = inputs.members.mean(axis=0).sum(axis=1)

    def own(self, label: int) -> Floats:
        """The members' log-odds: `[rows, members]`."""
        return self._odds[:, :, label].T

    def design(self, label: int) -> Floats:
        """All columns, as `column_names` calls them: `[rows, columns]`, float32."""
        place = np.full(len(self._mean), label, dtype=np.float32)
        return np.column_stack(
            [
                self.own(label),
                self._rates[:, :, label].T,
                self._mean[:, self._related[label]],
                self._highest,
                self._expected,
                place,
                self._records.values,
            ]
        )

    def categorical(self) -> list[int]:
        """Columns whose values are codes: the label, and the record's own."""
        first = len(self._odds) + len(self._rates) + self._related.shape[1] + 3
        return [first - 1, *(first + index for index in self._records.categorical)]


def _related_labels(mean_odds: Floats) -> Integers:
    """The labels whose mean log-odds go most with each label's: `[labels, up to _RELATED_LABELS]`."""
    centred = mean_odds - mean_odds.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    correlation = np.abs(centred.T @ centred) / np.maximum(np.outer(size, size), 1e-12)
    np.fill_diagonal(correlation, -1)
    return np.argsort(-correlation, axis=1, kind="stable")[:, : min(_RELATED_LABELS, len(size) - 1)]


def _parameters(recipe: StackerRecipe) -> dict[str, str | int | float | bool]:
    return {
        "objective": "binary",
        "boost_from_average": False,
        "learning_rate": recipe.learning_rate,
        "num_leaves": recipe.leaves,
        "min_data_in_leaf": recipe.min_leaf_rows,
        "lambda_l2": 20.0,
        "feature_fraction": 0.5,
        "max_bin": 63,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "seed": recipe.seed,
        "verbosity": -1,
    }
