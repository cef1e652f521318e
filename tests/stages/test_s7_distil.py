"""Stage 7 on a tiny run: its files, whose models teach, and the same bytes when rerun or killed."""

import multiprocessing
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from polydx.artifacts import Floats, read_array, read_json, write_array, write_json
from polydx.config import Compute, Distil
from polydx.contest.records import ID, LABELS, PART, TEST, TEXT, TRAIN, UNLABELLED
from polydx.errors import UserError
from polydx.judge.folds import FOLD, REPEAT, read_folds
from polydx.model.encoders import new_encoder, save_folder
from polydx.model.tokenizers import new_tokenizer
from polydx.paths import ALL_ROWS, FoldFiles, RunPaths
from polydx.stages import s7_distil

MEMBERS = ("one", "two")
PARTS = {TRAIN: 24, TEST: 6, UNLABELLED: 10}
FOLDS = 3
KINDS = ("training", "validation", "test", "unlabelled")
DISTIL = Distil(
    enabled=True,
    encoder="small",
    layers=(0, 2),
    max_tokens=16,
    epochs=2.0,
    batch_size=8,
    learning_rate=1e-3,
    head_learning_rate=1e-2,
    weight_decay=0.01,
    warmup_share=0.1,
    clip_norm=1.0,
    dropout=0.1,
    temperature=2.0,
    soft_weight=0.7,
    max_unlabelled=8,
    bf16="never",
)
COMPUTE = Compute(cores=1, threads=1, pretraining_threads=1, device="cpu", checkpoint_seconds=60.0)


def sizes(paths: RunPaths, fold: int) -> dict[str, int]:
    training = int(read_folds(paths.folds).training(fold).sum())
    rows = (training, PARTS[TRAIN] - training, PARTS[TEST], PARTS[UNLABELLED])
    return dict(zip(KINDS, rows, strict=True))


def write_teacher(paths: RunPaths, member: str, fold: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    for kind, rows in sizes(paths, fold).items():
        answers: Floats = draw.random((rows, 2), dtype=np.float32)
        write_array(getattr(paths.fold_model(member, 1, fold), kind), answers)


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    """A run of three folds, two members in round 1 and an encoder of three layers."""
    paths = RunPaths("tiny", tmp_path / "runs", tmp_path / "submissions")
    draw = np.random.default_rng(0)
    words = [f"word{number}" for number in range(20)]
    parts = [part for part, rows in PARTS.items() for _ in range(rows)]
    texts = [" ".join(draw.choice(words, draw.integers(4, 12))) for _ in parts]
    labels = [[name for name in "ab" if draw.random() < 0.5] if part == TRAIN else [] for part in parts]
    table = pd.DataFrame({ID: [f"r{row}" for row in range(len(parts))], PART: parts, LABELS: labels, TEXT: texts})
    paths.records.parent.mkdir(parents=True)
    table.to_parquet(paths.records)
    write_json(paths.labels, {"labels": ["a", "b"]})
    dealt = np.arange(PARTS[TRAIN]) % FOLDS
    paths.folds.parent.mkdir(parents=True)
    pd.DataFrame({ID: table[ID][: PARTS[TRAIN]], REPEAT: 0, FOLD: dealt}).to_parquet(paths.folds)
    for fold in range(FOLDS):
        for index, member in enumerate(MEMBERS):
            write_teacher(paths, member, fold, seed=10 * fold + index)
    tokenizer = new_tokenizer("words", texts, 40)
    torch.manual_seed(0)
    encoder = new_encoder(
        "bert",
        vocabulary_size=len(tokenizer),
        layers=3,
        hidden_size=16,
        heads=2,
        intermediate_size=32,
        max_positions=32,
        dropout=0.1,
    )
    save_folder(paths.encoder("small"), encoder, tokenizer)
    return paths


def distil(paths: RunPaths, fold: int | None, settings: Distil = DISTIL, compute: Compute = COMPUTE) -> None:
    s7_distil.run(paths, fold, settings, MEMBERS, 1, compute, seed=0)


def written(files: FoldFiles) -> dict[str, bytes]:
    """Bytes of every file but the report, which holds seconds."""
    found = sorted(file for file in files.folder.rglob("*") if file.is_file() and file != files.report)
    return {str(file.relative_to(files.folder)): file.read_bytes() for file in found}


def test_a_folds_student_writes_its_files_and_reruns_to_the_same_bytes(paths: RunPaths) -> None:
    distil(paths, 1)
    files = paths.student(1)
    first = written(files)
    assert {name for name in first if "/" not in name} == {"validation.npy", "test.npy", "unlabelled.npy"}
    assert {"model/config.json", "model/model.safetensors", "model/tokenizer.json"} <= set(first)
    for file, rows in ((files.validation, 8), (files.test, 6), (files.unlabelled, 10)):
        array = read_array(file)
        assert array.shape == (rows, 2)
        assert array.dtype == np.float32
        assert array.min() >= 0
        assert array.max() <= 1
    report = read_json(files.report)
    assert {key: report[key] for key in ("member", "round", "fold", "training_rows", "pseudo_rows")} == {
        "member": "student",
        "round": 1,
        "fold": 1,
        "training_rows": 16,
        "pseudo_rows": 6 + 8,
    }
    assert report["adversarial_steps"] == 0
    assert report["steps"] == 8
    distil(paths, 1)
    assert written(files) == first


def test_the_final_student_has_no_validation_rows(paths: RunPaths) -> None:
    distil(paths, None)
    files = paths.student(ALL_ROWS)
    assert not files.validation.exists()
    assert read_array(files.test).shape == (6, 2)
    report = read_json(files.report)
    assert (report["fold"], report["training_rows"]) == (ALL_ROWS, 24)


def test_killed_and_resumed_gives_the_same_bytes(paths: RunPaths) -> None:
    long = DISTIL.model_copy(update={"epochs": 40.0})
    often = COMPUTE.model_copy(update={"checkpoint_seconds": 0.1})
    distil(paths, 0, long, often)
    undisturbed = written(paths.student(0))
    job = multiprocessing.get_context("fork").Process(target=distil, args=(paths, 0, long, often))
    job.start()
    checkpoint = paths.checkpoints("distil-0")
    while not checkpoint.exists():
        assert job.is_alive()
        time.sleep(0.005)
    job.kill()
    job.join()
    assert job.exitcode == -signal.SIGKILL
    assert checkpoint.exists()
    distil(paths, 0, long, often)
    assert written(paths.student(0)) == undisturbed
    assert not checkpoint.exists()


def test_another_folds_teachers_teach_a_folds_student_nothing(paths: RunPaths) -> None:
    folds = read_folds(paths.folds)

    def taught() -> list[bytes]:
        found = s7_distil.teach(paths, folds, 1, MEMBERS, 1)
        return [array.tobytes() for array in (found.labelled, found.test, found.unlabelled)]

    clean = taught()
    for fold in (0, 2):
        for member in MEMBERS:
            write_teacher(paths, member, fold, seed=99)
    assert taught() == clean
    write_teacher(paths, "two", 1, seed=99)
    assert all(now != before for now, before in zip(taught(), clean, strict=True))


def test_a_folds_students_targets_are_the_mean_of_its_teachers(paths: RunPaths) -> None:
    taught = s7_distil.teach(paths, read_folds(paths.folds), 2, MEMBERS, 1)
    one, two = (read_array(paths.fold_model(member, 1, 2).training) for member in MEMBERS)
    np.testing.assert_allclose(taught.labelled, (one + two) / 2, rtol=1e-6)


def test_labels_of_validation_rows_never_reach_the_folds_student(paths: RunPaths) -> None:
    distil(paths, 1)
    clean = written(paths.student(1))
    table = pd.read_parquet(paths.records)
    validated = np.flatnonzero(read_folds(paths.folds).validation(1))
    table.loc[validated, LABELS] = pd.Series([["a", "b"]] * len(validated), index=validated)
    table.to_parquet(paths.records)
    distil(paths, 1)
    assert written(paths.student(1)) == clean


def test_more_tokens_than_positions_is_the_users_fault(paths: RunPaths) -> None:
    with pytest.raises(UserError, match=r"distil\.max_tokens"):
        distil(paths, 0, DISTIL.model_copy(update={"max_tokens": 33}))
