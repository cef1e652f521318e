"""Stage 6 on a tiny run: what it writes, and that no other fold's models can teach."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from polydx.artifacts import Floats, read_array, read_json, write_array
from polydx.config import Pseudo
from polydx.contest.records import ID, LABELS, PART, TEST, TRAIN, UNLABELLED
from polydx.errors import UserError
from polydx.paths import RunPaths
from polydx.stages import s6_pseudo
from small_runs import tiny_paths, write_inputs

MEMBERS = ("one", "two")
PARTS = {TRAIN: 6, TEST: 3, UNLABELLED: 4}
PSEUDO = Pseudo(
    rounds=1,
    cutoff="fixed",
    positive_above=0.8,
    negative_below=0.2,
    targets="soft",
    max_share=1.0,
    test_rows=True,
    final_weight=1.0,
    ramp_start=0.0,
    ramp_end=1.0,
    continue_weights=False,
    epochs=1.0,
)


def probabilities(rows: int, seed: int) -> Floats:
    """Every label is surely present or surely absent."""
    draw = np.random.default_rng(seed)
    sure = draw.choice([0.05, 0.95], size=(rows, 2)) + draw.uniform(-0.04, 0.04, (rows, 2))
    return np.asarray(sure, dtype=np.float32)


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    """A run of two folds, two members and round 0."""
    paths = tiny_paths(tmp_path)
    parts = [part for part, rows in PARTS.items() for _ in range(rows)]
    labels = [["a"], ["b"], ["a", "b"], ["b"], ["a"], ["b"]] + [[]] * (PARTS[TEST] + PARTS[UNLABELLED])
    table = pd.DataFrame({ID: [f"r{row}" for row in range(len(parts))], PART: parts, LABELS: labels})
    write_inputs(paths, table, ("a", "b"), [0, 1] * 3)
    for fold in range(2):
        for member in MEMBERS:
            files = paths.fold_model(member, 0, fold)
            write_array(files.test, probabilities(PARTS[TEST], 10 + fold))
            write_array(files.unlabelled, probabilities(PARTS[UNLABELLED], 20 + fold))
    return paths


def test_writes_the_rows_and_what_they_teach(paths: RunPaths) -> None:
    files = [paths.fold_model(member, 0, 1) for member in MEMBERS]
    write_array(files[0].test, np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.1]], dtype=np.float32))
    write_array(files[1].test, np.array([[0.8, 0.2], [0.4, 0.1], [0.1, 0.1]], dtype=np.float32))
    for file in files:
        write_array(file.unlabelled, np.array([[0.5, 0.5]] * 3 + [[0.1, 0.9]], dtype=np.float32))
    s6_pseudo.run(paths, 1, 1, MEMBERS, PSEUDO)
    folder = paths.pseudo(1, 1)
    rows, soft_labels = read_array(folder / "rows.npy"), read_array(folder / "soft_labels.npy")
    assert sorted(file.name for file in folder.iterdir()) == ["report.json", "rows.npy", "soft_labels.npy"]
    assert rows.dtype == np.int64
    assert rows.tolist() == [0, 6]
    assert soft_labels.dtype == np.float32
    np.testing.assert_allclose(soft_labels, [[0.85, 0.15], [0.1, 0.9]], atol=1e-6)
    assert read_json(folder / "report.json") == {
        "round": 1,
        "fold": 1,
        "considered": 7,
        "taken": 2,
        "test_rows": 1,
        "positives": {"a": 1, "b": 1},
    }


def test_without_test_rows_indices_still_count_them(paths: RunPaths) -> None:
    s6_pseudo.run(paths, 1, 0, MEMBERS, PSEUDO)
    both = read_array(paths.pseudo(1, 0) / "rows.npy").tolist()
    s6_pseudo.run(paths, 1, 0, MEMBERS, PSEUDO.model_copy(update={"test_rows": False, "max_share": 2.0}))
    unlabelled = read_array(paths.pseudo(1, 0) / "rows.npy").tolist()
    assert min(both) < PARTS[TEST] <= min(unlabelled)


def test_takes_no_more_than_its_share_of_the_folds_labelled_rows(paths: RunPaths) -> None:
    s6_pseudo.run(paths, 1, 0, MEMBERS, PSEUDO.model_copy(update={"max_share": 0.4}))
    assert len(read_array(paths.pseudo(1, 0) / "rows.npy")) == 1


def test_another_folds_models_change_nothing(paths: RunPaths) -> None:
    def written() -> list[bytes]:
        s6_pseudo.run(paths, 1, 0, MEMBERS, PSEUDO)
        return [file.read_bytes() for file in sorted(paths.pseudo(1, 0).iterdir())]

    def disturb(fold: int) -> None:
        for member in MEMBERS:
            files = paths.fold_model(member, 0, fold)
            write_array(files.test, probabilities(PARTS[TEST], 99))
            write_array(files.unlabelled, probabilities(PARTS[UNLABELLED], 98))

    clean = written()
    disturb(fold=1)
    assert written() == clean
    disturb(fold=0)
    assert written() != clean


def test_validation_labels_change_nothing(paths: RunPaths) -> None:
    prior = PSEUDO.model_copy(update={"cutoff": "prior"})
    s6_pseudo.run(paths, 1, 0, MEMBERS, prior)
    clean = read_array(paths.pseudo(1, 0) / "rows.npy").tolist()
    table = pd.read_parquet(paths.records)
    table.loc[[0, 2, 4], LABELS] = pd.Series([["b"], ["b"], ["a", "b"]], index=[0, 2, 4])
    table.to_parquet(paths.records)
    s6_pseudo.run(paths, 1, 0, MEMBERS, prior)
    assert read_array(paths.pseudo(1, 0) / "rows.npy").tolist() == clean


def test_teachers_are_the_folds_own_models_of_the_round_before(paths: RunPaths) -> None:
    folders = [files.folder.relative_to(paths.root).parts[1:] for files in s6_pseudo.teachers(paths, 2, 3, MEMBERS)]
    assert folders == [("one", "round1", "fold3"), ("two", "round1", "fold3")]


def test_nothing_to_choose_from_is_the_users_fault(paths: RunPaths) -> None:
    table = pd.read_parquet(paths.records)
    table[table[PART] != UNLABELLED].to_parquet(paths.records)
    for member in MEMBERS:
        write_array(paths.fold_model(member, 0, 0).unlabelled, np.zeros((0, 2), dtype=np.float32))
    with pytest.raises(UserError, match=r"pseudo\.test_rows"):
        s6_pseudo.run(paths, 1, 0, MEMBERS, PSEUDO.model_copy(update={"test_rows": False}))


def test_arrays_of_other_records_are_refused(paths: RunPaths) -> None:
    for member in MEMBERS:
        write_array(paths.fold_model(member, 0, 0).test, probabilities(PARTS[TEST] + 1, 0))
    with pytest.raises(ValueError, match="other test or unlabelled rows"):
        s6_pseudo.run(paths, 1, 0, MEMBERS, PSEUDO)
