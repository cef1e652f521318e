"""Smaller forms of a run's student: judged out of fold, shipped or refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from polydx.artifacts import Floats, read_array, read_json, write_array
from polydx.compress import FORMS, run
from polydx.config import Settings
from polydx.contest.readers import ColumnRoles
from polydx.deploy.forms import Material, Sizes, make_form
from polydx.deploy.shipping import Verdict, cross_fitted_f1
from polydx.deploy.student_card import StudentCard, read_card, write_card
from polydx.deploy.student_model import load_model, load_student
from polydx.distil.student import student_of
from polydx.ensemble.thresholds import DecisionRule
from polydx.errors import UserError
from polydx.judge.folds import read_folds
from polydx.judge.nested import outer_folds
from polydx.model.encoders import load_encoder, load_tokenizer, save_folder
from polydx.model.exit_speeds import SPEEDS_FILE, save_speeds, speed_table
from polydx.model.exits import EXITS_FILE, Exits, save_exits
from polydx.model.tokenizers import new_tokenizer
from polydx.model.tokens import encode
from polydx.names import FormName
from polydx.paths import ALL_ROWS, RunPaths
from polydx.resolve import load_settings
from polydx.train.classification import predict_probabilities
from small_models import write_small_encoder
from small_runs import tiny_paths, write_inputs

SMOKE = Path(__file__).parents[1] / "configs" / "smoke.yaml"
LABELS = ("flu", "gout")
TRAIN, OTHERS, FOLDS, MAX_TOKENS = 24, 6, 3, 12
TEXTS = [f"fever {'cough' if row % 2 else 'joint pain'} day {row % 5} and rash" for row in range(TRAIN + OTHERS)]
TARGETS = np.array([[row % 2, 1 - row % 2] for row in range(TRAIN)], dtype=np.float32)
CARD = StudentCard(
    labels=LABELS,
    thresholds=(0.5, 0.5),
    min_labels=0,
    max_labels=2,
    max_tokens=MAX_TOKENS,
    language="en",
    columns=ColumnRoles("id", ("text",), None, None, (), (), "labels", None),
    separator=",",
    encoding="utf-8",
    headings={},
    placeholders=(),
)


@pytest.fixture
def settings() -> Settings:
    forms = "compress.forms=[bf16, vocabulary, neurons]"
    return load_settings(SMOKE, ["run.name=tiny", forms, "compress.kept_neurons=0.1", "compress.calibration_rows=8"])


def write_run(folder: Path, perfect: bool, exits: bool = False) -> RunPaths:
    """Every file that is read: records, folds, fold students and their probabilities, and the shipped student.

    Args:
        folder: Where to.
        perfect: Whether the fold students' stored probabilities are the truth rather than their own.
        exits: Whether the shipped student has early exits.
    """
    paths = tiny_paths(folder)
    parts = ["train"] * TRAIN + ["test"] * OTHERS
    fold_of_row = np.arange(TRAIN) // 2 % FOLDS
    labels = [[LABELS[int(row[1])]] for row in TARGETS] + [[] for _ in range(OTHERS)]
    ids = [f"r{row}" for row in range(len(TEXTS))]
    groups = np.arange(len(TEXTS))
    table = pd.DataFrame({"id": ids, "part": parts, "text": TEXTS, "labels": labels, "duplicate_group": groups})
    write_inputs(paths, table, LABELS, fold_of_row.tolist())
    tokenizer = new_tokenizer("words", [*TEXTS, "chills chills nausea nausea"], 40)
    write_small_encoder(folder / "encoder", tokenizer, layers=2, hidden_size=8, max_positions=16, dropout=0.0)
    for job in (*range(FOLDS), ALL_ROWS):
        student = student_of(load_encoder(folder / "encoder", 0.0), [0, 1], LABELS, 0.0).train(False)
        torch.nn.init.normal_(student.classifier.weight, std=3.0)
        save_folder(paths.student(job).model, student, tokenizer)
        if isinstance(job, int):
            held = np.flatnonzero(fold_of_row == job)
            truth: Floats = 0.9 * TARGETS[held] + 0.05
            tokens = encode(tokenizer, TEXTS, MAX_TOKENS)

            def score(ids: torch.Tensor, mask: torch.Tensor, model: torch.nn.Module = student) -> torch.Tensor:
                logits: torch.Tensor = model(input_ids=ids, attention_mask=mask).logits
                return logits

            own = predict_probabilities(score, tokens, held, len(LABELS), torch.device("cpu"), bf16=False)
            write_array(paths.student(job).validation, truth if perfect else own)
    save_folder(paths.submission / "student", student, tokenizer)
    write_card(paths.submission / "student", CARD)
    if exits:
        save_exits(Exits(8, len(LABELS), 2, 0.0), paths.submission / "student")
        save_speeds(
            speed_table(torch.rand(2, 5, len(LABELS)), [0.5, 0.5], torch.tensor([0.6, 1.0])),
            paths.submission / "student",
        )
    return paths


def compress(paths: RunPaths, settings: Settings) -> dict[str, Verdict]:
    verdicts = run(paths, settings.compress, settings.stack, settings.compute, settings.run.seed)
    return {verdict.form: verdict for verdict in verdicts}


def test_forms_that_hold_are_shipped(tmp_path: Path, settings: Settings) -> None:
    paths = write_run(tmp_path, perfect=False)
    verdicts = compress(paths, settings)
    assert list(verdicts) == ["bf16", "vocabulary", "neurons"]
    assert verdicts["vocabulary"].drop == pytest.approx(0.0), "every token of a validation row is in other rows too"
    shipped = paths.submission / FORMS
    expected = {"verdicts.json"} | {name for name, verdict in verdicts.items() if verdict.ships}
    assert {path.name for path in shipped.iterdir()} == expected
    assert "vocabulary" in expected
    smaller, whole = load_student(shipped / "vocabulary"), load_student(paths.submission / "student")
    assert len(smaller.tokenizer) < len(whole.tokenizer)
    assert replace(smaller.card, thresholds=CARD.thresholds) == CARD
    assert [each["form"] for each in read_json(shipped / "verdicts.json")] == list(verdicts)


def test_forms_that_fall_are_refused_and_reported(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = write_run(tmp_path, perfect=True)
    verdicts = compress(paths, settings)
    assert not any(verdict.ships for verdict in verdicts.values())
    assert {path.name for path in (paths.submission / FORMS).iterdir()} == {"verdicts.json"}
    said = capsys.readouterr().err
    assert said.count("refused: macro-F1") == 3
    assert "beyond the bound of 0.005" in said


def test_a_form_ships_with_the_thresholds_that_it_was_judged_by(tmp_path: Path, settings: Settings) -> None:
    paths = write_run(tmp_path, perfect=False)
    settings = resized(settings, forms=("bf16", "neurons"), max_drop=1.0)
    # Now given, but not when the student was shipped: all labels of every record.
    stack = settings.stack.model_copy(update={"min_labels": len(LABELS), "max_labels": len(LABELS)})
    verdicts = compress(paths, settings.model_copy(update={"stack": stack}))
    rule = DecisionRule(settings.stack.threshold_prior, CARD.min_labels, CARD.max_labels, "shrunk")
    for name in ("bf16", "neurons"):
        said = out_of_fold(paths, name, settings)
        thresholds = read_card(paths.submission / FORMS / name).thresholds
        assert thresholds == pytest.approx(rule.fit(said, TARGETS > 0).tolist(), abs=1e-6)
        groups, folds = np.arange(TRAIN), read_folds(paths.folds)
        outer = outer_folds(folds, TARGETS, groups, settings.run.seed)
        assert verdicts[name].macro_f1 == pytest.approx(cross_fitted_f1(said, TARGETS > 0, outer, rule))
    assert read_card(paths.submission / FORMS / "neurons").thresholds != CARD.thresholds


def resized(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update={"compress": settings.compress.model_copy(update=changes)})


def out_of_fold(paths: RunPaths, name: FormName, settings: Settings) -> Floats:
    """What each fold student's form says of its fold's rows: one form, one row at a time."""
    said = np.zeros_like(TARGETS)
    for job in range(FOLDS):
        held = np.arange(TRAIN) // 2 % FOLDS == job
        learned = np.flatnonzero(~held)
        drawn = np.sort(np.random.default_rng(settings.run.seed).permutation(len(learned))[:8])
        calibration = learned[drawn]
        material = Material(TEXTS, [TEXTS[row] for row in calibration], TARGETS[calibration], MAX_TOKENS)
        folder, sizes = paths.student(job).model, Sizes(0.1, 1.0, 8)
        form = make_form(name, load_model(folder), load_tokenizer(folder), material, sizes, paths.root)
        for row in np.flatnonzero(held):
            with torch.inference_mode():
                said[row] = form.score(*encode(form.tokenizer, [TEXTS[row]], MAX_TOKENS).pad(np.array([0]))).sigmoid()[
                    0
                ]
    return said


def test_the_first_of_repeated_folds_alone_judges(tmp_path: Path, settings: Settings) -> None:
    paths = write_run(tmp_path, perfect=False)
    settings = resized(settings, forms=("bf16",), max_drop=1.0)
    found = []
    for _ in range(2):
        verdicts = compress(paths, settings)
        found.append((verdicts, read_card(paths.submission / FORMS / "bf16").thresholds))
        # A second repeat, of the same folds but other students.
        folds = pd.read_parquet(paths.folds)
        pd.concat([folds, folds.assign(repeat=1)]).to_parquet(paths.folds)
        for job in range(FOLDS):
            own = paths.student(FOLDS + job)
            shutil.copytree(paths.student((job + 1) % FOLDS).model, own.model, dirs_exist_ok=True)
            write_array(own.validation, 1 - read_array(paths.student(job).validation))
    assert found[0] == found[1]


def test_forms_are_judged_by_the_runs_own_way_of_fitting_thresholds(tmp_path: Path, settings: Settings) -> None:
    paths = write_run(tmp_path, perfect=False)
    pooled = settings.model_copy(update={"stack": settings.stack.model_copy(update={"thresholds": "pooled"})})
    compress(paths, resized(pooled, forms=("bf16",), max_drop=1.0))
    assert len(set(read_card(paths.submission / FORMS / "bf16").thresholds)) == 1


def test_early_exits_go_with_forms_that_keep_the_layers(tmp_path: Path, settings: Settings) -> None:
    paths = write_run(tmp_path, perfect=False, exits=True)
    verdicts = compress(paths, resized(settings, max_drop=1.0))
    student, shipped = paths.submission / "student", paths.submission / FORMS
    for name in ("bf16", "vocabulary"):
        for file in (EXITS_FILE, SPEEDS_FILE):
            assert (shipped / name / file).read_bytes() == (student / file).read_bytes()
        assert load_student(shipped / name, 0.1).early is not None
        assert verdicts[name].reason.endswith("; early exits kept")
    assert "; early exits lost" in verdicts["neurons"].reason
    with pytest.raises(UserError, match=r"without early exits; train it with distil\.exits, or name the student that"):
        load_student(shipped / "neurons", 0.1)


def test_a_run_without_a_student_is_the_users_fault(tmp_path: Path, settings: Settings) -> None:
    paths = tiny_paths(tmp_path)
    with pytest.raises(UserError, match="student: is absent"):
        compress(paths, settings)


def test_a_cleaned_run_says_which_stage_comes_first(tmp_path: Path, settings: Settings) -> None:
    paths = write_run(tmp_path, perfect=False)
    for gone, command in (
        (paths.student(1).folder, "distil --fold 1"),
        (paths.folds.parent, "split"),
        (paths.root, "clean"),
    ):
        shutil.rmtree(gone)
        with pytest.raises(UserError, match=f"is not there any more; run polydx {command} first, or bash run"):
            compress(paths, settings)
