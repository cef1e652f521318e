"""Stage 7 on a tiny run: its files, whose models teach, and the same bytes when rerun or killed."""

import multiprocessing
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import f1_score

from polydx.artifacts import Floats, read_array, read_json, write_array
from polydx.cli import main
from polydx.config import Compute, Distil, Lessons
from polydx.contest.records import LABELS, TEST, TRAIN, UNLABELLED, read_records
from polydx.distil.teaching import weighted_mean
from polydx.errors import UserError
from polydx.judge.folds import read_folds
from polydx.model.classifier import TextClassifier, save_classifier
from polydx.model.encoders import load_encoder
from polydx.model.exit_speeds import read_speed
from polydx.model.exits import load_exits
from polydx.paths import ALL_ROWS, RunPaths
from polydx.stages import s7_distil, teachers
from polydx.stages.students import chain_of, new_students
from small_runs import FOLDS, PARTS, small_run, written

SMOKE = Path(__file__).parents[2] / "configs" / "smoke.yaml"
MEMBERS = ("one", "two")
KINDS = ("training", "validation", "test", "unlabelled")
NO_LESSONS = Lessons(
    teacher=None,
    layers=(),
    hint=0.0,
    embedding=0.0,
    hidden=0.0,
    attention=0.0,
    patient=0.0,
    relations=0.0,
    attention_transfer=0.0,
    similarity=0.0,
    distance=0.0,
    angle=0.0,
    value_direction=0.0,
)
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
    start=None,
    pooling_layer=False,
    kept_neurons=1.0,
    teachers="mean",
    teacher_weights={},
    schedule="fixed",
    end_temperature=1.0,
    rare_power=0.0,
    absent_weight=1.0,
    bounded_weight=0.0,
    bounded_margin=0.0,
    peers=0,
    peer_weight=1.0,
    assistant_layers=(),
    generations=0,
    exits="none",
    int8_share=0.0,
    lessons=NO_LESSONS,
)
COMPUTE = Compute(
    cores=1, threads=1, pretraining_threads=1, device="cpu", packing="auto", compile=False, checkpoint_seconds=60.0
)


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
    paths = small_run(tmp_path, layers=3)
    for fold in range(FOLDS):
        for index, member in enumerate(MEMBERS):
            write_teacher(paths, member, fold, seed=10 * fold + index)
    return paths


def distil(paths: RunPaths, fold: int | None, settings: Distil = DISTIL, compute: Compute = COMPUTE) -> None:
    s7_distil.run(paths, fold, settings, MEMBERS, 1, compute, seed=0)


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
        found = teachers.teach(paths, folds, 1, MEMBERS, 1)
        return [array.tobytes() for each in found for array in (each.labelled, each.test, each.unlabelled)]

    clean = taught()
    for fold in (0, 2):
        for member in MEMBERS:
            write_teacher(paths, member, fold, seed=99)
    assert taught() == clean
    write_teacher(paths, "two", 1, seed=99)
    changed = [now != before for now, before in zip(taught(), clean, strict=True)]
    assert changed == [False] * 3 + [True] * 3


def test_a_folds_students_teachers_are_its_own_folds_models(paths: RunPaths) -> None:
    taught = teachers.teach(paths, read_folds(paths.folds), 2, MEMBERS, 1)
    for member, each in zip(MEMBERS, taught, strict=True):
        np.testing.assert_array_equal(each.labelled, read_array(paths.fold_model(member, 1, 2).training))


@pytest.mark.parametrize("fold", [1, None])
def test_a_teacher_without_weight_is_not_read_and_nothing_changes(paths: RunPaths, fold: int | None) -> None:
    expected = weighted_mean(teachers.teach(paths, read_folds(paths.folds), fold, MEMBERS, 1), [0.5, 0.0])
    for job in range(FOLDS):
        for kind in KINDS:
            getattr(paths.fold_model("two", 1, job), kind).write_bytes(b"a trap for whoever opens it")
    settings = DISTIL.model_copy(update={"teacher_weights": {"one": 0.5}})
    (found,), weights = teachers.teachers_answers(paths, fold, settings, MEMBERS, 1)
    assert weights == [1.0]
    for kind in ("labelled", "test", "unlabelled"):
        assert getattr(found, kind).tobytes() == getattr(expected, kind).tobytes()


BY_SCORE = DISTIL.model_copy(update={"teachers": "by_score", "epochs": 1.0})


def plant_truth(paths: RunPaths, member: str, fold: int) -> None:
    """Let a member's model of a fold know the labels of the rows that it is scored on."""
    targets = read_records(paths.records, paths.labels).targets()
    validated = read_folds(paths.folds).validation(fold)
    write_array(paths.fold_model(member, 1, fold).validation, targets[validated])


def test_a_planted_leak_in_its_own_fold_weighs_no_teacher_of_a_folds_student(paths: RunPaths) -> None:
    """A member that knows the labels of fold 1 counts for more, but not for the student that fold 1 scores."""

    def weights(fold: int | None) -> list[float]:
        targets = read_records(paths.records, paths.labels).targets()
        return teachers.score_teachers(paths, read_folds(paths.folds), fold, MEMBERS, 1, targets)

    clean = {fold: weights(fold) for fold in (0, 1, 2, None)}
    plant_truth(paths, "two", 1)
    assert weights(1) == clean[1]
    for fold in (0, 2, None):
        assert weights(fold)[0] == clean[fold][0]
        assert weights(fold)[1] > clean[fold][1]


def test_a_student_that_weighs_by_score_needs_every_folds_teachers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = RunPaths("smoke")
    made = [paths.records, paths.folds, paths.encoder("small_bert") / "made"]
    for member in ("bert_fgm", "ernie_pgd", "linear"):
        made += [paths.fold_model(member, 1, 0).report, paths.fold_model(member, 1, 0).training]
    for file in made:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert main(["distil", "--config", str(SMOKE), "--fold", "0", "distil.teachers=by_score"]) == 2
    expected = "report.json: is not there yet; run polydx finetune --member bert_fgm --fold 1 --round 1 first"
    assert expected in capsys.readouterr().err


def test_neither_labels_nor_answers_of_its_own_fold_weigh_a_folds_teachers(paths: RunPaths) -> None:
    distil(paths, 1, BY_SCORE)
    clean = written(paths.student(1))
    plant_truth(paths, "two", 1)
    table = pd.read_parquet(paths.records)
    validated = np.flatnonzero(read_folds(paths.folds).validation(1))
    table.loc[validated, LABELS] = pd.Series([["a", "b"]] * len(validated), index=validated)
    table.to_parquet(paths.records)
    distil(paths, 1, BY_SCORE)
    assert written(paths.student(1)) == clean
    plant_truth(paths, "two", 0)
    distil(paths, 1, BY_SCORE)
    assert written(paths.student(1)) != clean, "the other folds' rows do count"


def test_a_teachers_score_is_the_macro_f1_of_its_labels_best_thresholds(paths: RunPaths) -> None:
    folds, targets = read_folds(paths.folds), read_records(paths.records, paths.labels).targets()
    found = teachers.score_teachers(paths, folds, 1, MEMBERS, 1, targets)
    for member, score in zip(MEMBERS, found, strict=True):
        own = [read_array(paths.fold_model(member, 1, job).validation) for job in (0, 2)]
        rows = [targets[folds.validation(job)] for job in (0, 2)]
        answers, truth = np.concatenate(own), np.concatenate(rows)
        best = [
            max(f1_score(truth[:, label], answers[:, label] >= cut) for cut in answers[:, label]) for label in range(2)
        ]
        assert score == pytest.approx(np.mean(best), abs=1e-6)


def save_models(paths: RunPaths, folds: Sequence[int], seed: int = 0) -> None:
    """Fine-tuned models of member "one": the encoder with noise of a seed, and a head."""
    for fold in folds:
        torch.manual_seed(seed + fold)
        model = TextClassifier(load_encoder(paths.encoder("small"), 0.1), 2, "mean", 0.1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
        folder = paths.fold_model("one", 1, fold).model
        folder.mkdir(parents=True, exist_ok=True)
        save_classifier(model, folder)


def lessons(**weights: float) -> Lessons:
    return NO_LESSONS.model_copy(update={"teacher": "one", **weights})


TECHNIQUES: dict[str, dict[str, object]] = {
    "a teacher's layers": {"start": "one"},
    "a teacher's layers and head": {"start": "one", "pooling_layer": True},
    "a pooling layer": {"pooling_layer": True},
    "fewer neurons": {"kept_neurons": 0.25},
    "weighted teachers": {"teacher_weights": {"one": 3.0, "two": 1.0}},
    "one teacher a step": {"teachers": "sampled"},
    "teachers by score": {"teachers": "by_score"},
    "annealed": {"schedule": "annealed"},
    "learned": {"schedule": "learned"},
    "rare labels": {"rare_power": 0.5},
    "absences": {"absent_weight": 1.5},
    "bounded": {"bounded_weight": 1.0, "bounded_margin": 0.1},
    "peers": {"peers": 1},
    "an assistant": {"assistant_layers": (0, 1, 2)},
    "born again": {"generations": 1},
    "as int8": {"int8_share": 0.5},
    "exits together": {"exits": "joint"},
    "exits of themselves": {"exits": "self"},
    "exits for each other": {"exits": "mutual"},
    "other layers teach": {"lessons": lessons(hidden=1.0).model_copy(update={"layers": (1, 2)})},
} | {name: {"lessons": lessons(**{name: 1.0})} for name in Lessons.model_fields if name not in ("teacher", "layers")}


def test_every_technique_changes_the_student(paths: RunPaths) -> None:
    save_models(paths, [1])
    short = DISTIL.model_copy(update={"epochs": 1.0})
    distil(paths, 1, short)
    seen = {read_array(paths.student(1).validation).tobytes()}
    for technique in TECHNIQUES.values():
        distil(paths, 1, short.model_copy(update=technique))
        found = written(paths.student(1))
        assert ("model/exits.safetensors" in found) == ("exits" in technique)
        seen.add(read_array(paths.student(1).validation).tobytes())
        if "exits" in technique:
            loaded = load_exits(paths.student(1).model)
            assert len(loaded.heads) == 1
            assert read_speed(paths.student(1).model, "similarity", 0.1).cuts.shape == (2,)
    assert len(seen) == len(TECHNIQUES) + 1
    assert len(TECHNIQUES) == 31


def test_an_assistant_has_the_neurons_that_the_student_lacks(paths: RunPaths) -> None:
    chained = DISTIL.model_copy(update={"assistant_layers": (0, 1, 2), "kept_neurons": 0.25})
    targets = np.eye(2, dtype=np.float32)
    assistant, student = (
        new_students(paths, chained, ("a", "b"), targets, lambda _: paths.fold_model("one", 1, 1), body)[0].config
        for body in chain_of(chained)
    )
    assert (assistant.num_hidden_layers, student.num_hidden_layers) == (3, 2)
    assert assistant.intermediate_size == 4 * student.intermediate_size


def test_killed_between_two_students_of_a_chain_gives_the_same_bytes(paths: RunPaths) -> None:
    chain = DISTIL.model_copy(update={"generations": 1, "schedule": "learned", "peers": 1})
    distil(paths, 0, chain)
    undisturbed = written(paths.student(0))
    often = COMPUTE.model_copy(update={"checkpoint_seconds": 1e-6})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s7_distil, "clear_checkpoint", lambda _: None)
        distil(paths, 0, chain, often)
    assert paths.checkpoints("distil-0-step1").exists()
    distil(paths, 0, chain, often)
    assert written(paths.student(0)) == undisturbed
    assert not paths.checkpoints("distil-0-step1").exists()


def test_another_folds_model_neither_starts_nor_shows_a_folds_student_anything(paths: RunPaths) -> None:
    save_models(paths, [0, 1, 2])
    shown = DISTIL.model_copy(update={"start": "one", "epochs": 1.0, "lessons": lessons(hidden=1.0)})
    distil(paths, 1, shown)
    clean = written(paths.student(1))
    save_models(paths, [0, 2], seed=50)
    distil(paths, 1, shown)
    assert written(paths.student(1)) == clean
    save_models(paths, [1], seed=50)
    distil(paths, 1, shown)
    assert written(paths.student(1)) != clean


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
