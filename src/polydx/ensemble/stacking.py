"""LightGBM on top of the members: a label sees their log-odds for it and for related labels, and the record's features.

Labels with enough positives get a model each; the rarer ones share one, with the label as a feature, since one model a
label learns noise there. Their table has a row for each record and label; where it would grow too long, all positives
stay, and a sample of the negatives stands for the rest by its weight.

Every model starts from a regularised logistic combination of the members' log-odds, so that trees add what a weighted
mean can't say instead of learning the mean again step by step. The combination is fitted on all rows. It knows most
negatives of a rare label for what they are, so the trees are grown on the others and a sample of these: time then goes
with the positives, not with the rows.

How many trees a model is worth can be found by early stopping: on an inner part of the training rows, which is set
aside for nothing else than this, trees are grown until the loss there gains no more. The model itself then has so many
trees, on all rows. Folds make good parts: they keep near duplicates together, which would vouch for each other.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import lightgbm
import numpy as np
from threadpoolctl import threadpool_limits

from polydx.artifacts import Floats
from polydx.ensemble.combination import RIDGE, Coefficients, combine, fit_combination
from polydx.ensemble.odds import probability
from polydx.ensemble.row_sampling import local_case_control, thin_negatives
from polydx.ensemble.stack_columns import Integers, StackColumns, StackInputs
from polydx.judge.metrics import Mask

POOLED_ROWS = 2_000_000
"""Longest table of the model that rare labels share: some 300 MB."""


@dataclass(frozen=True)
class StackerRecipe:
    """How the stacker is fitted.

    Attributes:
        trees: Trees of each model, or with early stopping the most.
        learning_rate: Their learning rate.
        leaves: Their leaves.
        min_leaf_rows: Fewest rows in a leaf.
        frequent_positives: Labels with at least so many positives get a model each.
        threads: Models at work at once, each on one thread.
        seed: LightGBM's seed.
        early_stopping: Trees without a gain after which no more are tried; 0 grows all of them.
    """

    trees: int
    learning_rate: float
    leaves: int
    min_leaf_rows: int
    frequent_positives: int
    threads: int
    seed: int
    early_stopping: int = 0


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
        with _one_blas_thread(), ThreadPoolExecutor(self.threads) as pool:
            for (_, label), part in zip(jobs, pool.map(predict_one, *zip(*jobs, strict=True)), strict=True):
                fused[:, label] = part
        return fused

    def importance(self, names: Sequence[str]) -> dict[str, float]:
        """Each column's share of the gain over all models, largest first; `names` as by `column_names`."""
        gain = np.sum([model.booster.feature_importance("gain") for model in self.models], axis=0)
        shares = gain / gain.sum() if gain.sum() > 0 else gain
        return {names[index]: float(shares[index]) for index in np.argsort(-shares, kind="stable")}


def fit_stacker(inputs: StackInputs, targets: Mask, recipe: StackerRecipe, watched: Mask | None = None) -> Stacker:
    """Fit the stacker on rows whose members' probabilities are out of fold.

    Args:
        inputs: What it sees of the rows.
        targets: `[rows, labels]`, bool.
        recipe: How.
        watched: `[rows]`, bool: the inner part that early stopping watches; some of the rows, not all of them.

    Raises:
        ValueError: Early stopping is asked for and no part is named, or an empty or a whole one.
    """
    if recipe.early_stopping and (watched is None or not watched.any() or watched.all()):
        raise ValueError("early stopping watches a part of the rows: name some of them, not all")
    columns = StackColumns(inputs)
    frequent = targets.sum(axis=0) >= recipe.frequent_positives
    groups: list[tuple[int, ...]] = [(int(label),) for label in np.flatnonzero(frequent)]
    if not frequent.all():
        # First, since it takes longest: the others then fill the remaining threads.
        groups.insert(0, tuple(np.flatnonzero(~frequent).tolist()))

    def fit_one(labels: tuple[int, ...]) -> LabelModel:
        return _fit_model(labels, columns, targets, recipe, watched)

    with _one_blas_thread(), ThreadPoolExecutor(recipe.threads) as pool:
        return Stacker(tuple(pool.map(fit_one, groups)), columns.related, recipe.threads)


def _fit_model(
    labels: tuple[int, ...], columns: StackColumns, targets: Mask, recipe: StackerRecipe, watched: Mask | None
) -> LabelModel:
    """Fit the combination on all rows, or on a fair sample of very many, and the trees on what it leaves open."""
    trees = recipe.trees
    if recipe.early_stopping and watched is not None:
        trees = _trees_worth_growing(labels, columns, targets, recipe, watched)
    draw = np.random.default_rng((recipe.seed, labels[0]))
    table = _tabulate(labels, columns, targets, np.arange(len(targets)), draw)
    start = fit_combination(table.own, table.wanted, RIDGE, table.weights)
    data = _sampled(table, start, columns, recipe, draw)
    return LabelModel(labels, start, lightgbm.train(_parameters(recipe), data, num_boost_round=trees))


def _trees_worth_growing(
    labels: tuple[int, ...], columns: StackColumns, targets: Mask, recipe: StackerRecipe, watched: Mask
) -> int:
    """Trees, one at least, of a model fitted without the watched rows, with the lowest loss on these."""
    draw = np.random.default_rng((recipe.seed, labels[0]))
    growing, watching = (
        _tabulate(labels, columns, targets, np.flatnonzero(part), draw) for part in (~watched, watched)
    )
    start = fit_combination(growing.own, growing.wanted, RIDGE, growing.weights)
    data = _sampled(growing, start, columns, recipe, draw)
    booster = lightgbm.train(
        _parameters(recipe),
        data,
        num_boost_round=recipe.trees,
        valid_sets=[_sampled(watching, start, columns, recipe, draw, reference=data)],
        callbacks=[lightgbm.early_stopping(recipe.early_stopping, verbose=False)],
    )
    return int(booster.best_iteration)


@dataclass(frozen=True)
class _Table:
    """Some rows of each label of a model, one label after the other.

    Attributes:
        labels: The labels.
        rows: The rows of each.
        own: `[entries, members]`, float32, the members' log-odds.
        wanted: `[entries]`, bool: does the record carry the label?
        weights: `[entries]`, float32: how many each stands for.
    """

    labels: tuple[int, ...]
    rows: tuple[Integers, ...]
    own: Floats
    wanted: Mask
    weights: Floats


def _tabulate(
    labels: tuple[int, ...], columns: StackColumns, targets: Mask, among: Integers, draw: np.random.Generator
) -> _Table:
    """Put together the rows `among` which the labels are learnt, or a fair sample of very many."""
    places, stands_for = thin_negatives(targets[:, labels][among], POOLED_ROWS, draw)
    rows = tuple(among[part] for part in places)
    wanted = np.concatenate([targets[part, label] for label, part in zip(labels, rows, strict=True)])
    own = np.concatenate([columns.own(label, part) for label, part in zip(labels, rows, strict=True)])
    return _Table(labels, rows, own, wanted, np.where(wanted, 1.0, stands_for).astype(np.float32))


def _sampled(
    table: _Table,
    start: Coefficients,
    columns: StackColumns,
    recipe: StackerRecipe,
    draw: np.random.Generator,
    reference: lightgbm.Dataset | None = None,
) -> lightgbm.Dataset:
    """What trees are grown on, or watched by: the entries that the start gets wrong, and a sample of the others."""
    opening = combine(table.own, start)
    kept, counts = local_case_control(table.wanted, probability(opening), len(table.labels), draw)
    ends = np.searchsorted(kept, np.cumsum([len(part) for part in table.rows]))
    parts = np.split(np.concatenate(table.rows)[kept], ends[:-1])
    return lightgbm.Dataset(
        np.concatenate([columns.design(label, part) for label, part in zip(table.labels, parts, strict=True)]),
        table.wanted[kept].astype(np.float32),
        weight=table.weights[kept] * counts,
        init_score=opening[kept],
        categorical_feature=columns.categorical(),
        params=_parameters(recipe),
        reference=reference,
    )


def _one_blas_thread() -> threadpool_limits:
    """Several would contend with the models at work, and sums over rows would depend on their number."""
    return threadpool_limits(1, "blas")


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
