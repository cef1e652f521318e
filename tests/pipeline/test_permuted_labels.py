"""Labels dealt to other patients must teach nothing: whatever still scores better than a constant has seen answers."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from polydx.artifacts import read_json, replacing, write_array
from polydx.contest.records import LABELS, PART, TRAIN, read_records
from polydx.judge.folds import read_folds

PERMUTATIONS = 5
CHANGES = ("compute.cores=1", "stack.trees=2")
PATHS = {
    "final",
    *(f"{member}.round{number}" for member in ("bert_fgm", "ernie_pgd", "linear") for number in (0, 1)),
    "student",
    "mean",
    "weighted",
    "lightgbm",
}


@pytest.fixture(scope="module")
def prepared(new_run, sample_folder: Path, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A smoke run up to pre-training, which sees no labels."""
    root = tmp_path_factory.mktemp("permuted")
    run = new_run(root, "smoke.yaml", "run.name=not-permuted", f"contest.folder={sample_folder}", *CHANGES)
    run.do("clean", "pretrain")
    return run


def permute_labels(records: Path, seed: int) -> None:
    """Deal the training records' label lists to other training records."""
    table = pd.read_parquet(records)
    train = np.flatnonzero(table[PART] == TRAIN)
    labels = table[LABELS].to_numpy(copy=True)
    labels[train] = labels[np.random.default_rng(seed).permutation(train)]
    with replacing(records) as temporary:
        table.assign(**{LABELS: labels}).to_parquet(temporary, index=False)


def better_than_a_constant(ledger: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Name every path, and tell whether its score is above the best constant's by more than its interval."""
    student = {"student": ledger["student"]}
    for name, entry in {"final": ledger["final"], **ledger["members"], **student, **ledger["fusion"]}.items():
        yield name, entry["oof_interval"][0] > ledger["constant_macro_f1"]


@pytest.fixture(scope="module")
def permuted(new_run, prepared, sample_folder: Path):  # type: ignore[no-untyped-def]
    """The runs with permuted labels, up to the ledger."""
    runs = []
    for seed in range(PERMUTATIONS):
        contest = f"contest.folder={sample_folder}"
        run = new_run(prepared.root, "smoke.yaml", f"run.name=permuted{seed}", contest, *CHANGES)
        for folder in ("s1_clean", "s4_pretrain"):
            shutil.copytree(prepared.paths.root / folder, run.paths.root / folder)
        permute_labels(run.paths.records, seed)
        run.do("split", "finetune", "distil", "stack")
        runs.append(run)
    return runs


def test_permuting_moves_labels_and_nothing_else(prepared, permuted) -> None:  # type: ignore[no-untyped-def]
    true = read_records(prepared.paths.records, prepared.paths.labels)
    for run in permuted:
        shuffled = read_records(run.paths.records, run.paths.labels)
        pd.testing.assert_frame_equal(shuffled.table.drop(columns=LABELS), true.table.drop(columns=LABELS))
        assert (shuffled.targets().sum(axis=0) == true.targets().sum(axis=0)).all()
        assert (shuffled.targets() != true.targets()).any(axis=1).mean() > 0.8


def test_no_path_learns_from_permuted_labels(permuted) -> None:  # type: ignore[no-untyped-def]
    visited = 0
    for run in permuted:
        better = dict(better_than_a_constant(read_json(run.paths.ledger)))
        assert set(better) == PATHS
        assert not [name for name, is_better in better.items() if is_better], run.settings.run.name
        visited += len(better)
    assert visited == PERMUTATIONS * len(PATHS)


def test_a_leak_of_validation_labels_is_seen(permuted) -> None:  # type: ignore[no-untyped-def]
    run = permuted[-1]
    targets = read_records(run.paths.records, run.paths.labels).targets()
    folds = read_folds(run.paths.folds)
    for fold in range(folds.jobs):
        files = run.paths.fold_model("bert_fgm", 0, fold)
        write_array(files.validation, (0.2 + 0.6 * targets[folds.validation(fold)]).astype(np.float32))
    run.do("stack")
    better = dict(better_than_a_constant(read_json(run.paths.ledger)))
    assert {name for name, is_better in better.items() if is_better} >= {"bert_fgm.round0", "weighted", "final"}
    assert not better["student"]
