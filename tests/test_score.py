import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from polydx import score
from polydx.artifacts import write_array, write_json
from polydx.config import Contest, Stack
from polydx.errors import UserError
from polydx.judge.metrics import macro_f1, micro_f1
from polydx.paths import RunPaths

BASE = Path(__file__).parents[1] / "configs" / "base.yaml"
TRUTH = {"1": ["a"], "2": ["a", "b"], "3": ["b"], "4": []}
SUBMISSION = {"4": [], "3": ["a"], "2": ["a", "b"], "1": ["a"]}


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path):
    return write(tmp_path / "submission.json", SUBMISSION), write(tmp_path / "truth.json", TRUTH)


def test_scores_by_hand(files):
    found = score.score_submission(*files, ["a", "b", "c"], per_label=False)
    f1 = {"a": 4 / 5, "b": 2 / 3, "c": 0}
    assert found == {
        "macro_f1": pytest.approx(sum(f1.values()) / 3),
        "macro_f1_present": pytest.approx((f1["a"] + f1["b"]) / 2),
        "micro_f1": pytest.approx(6 / 8),
        "samples_f1": pytest.approx((1 + 1 + 0 + 0) / 4),
        "macro_precision": pytest.approx((2 / 3 + 1 + 0) / 3),
        "macro_recall": pytest.approx((1 + 1 / 2 + 0) / 3),
        "macro_f2": pytest.approx((10 / 11 + 5 / 9 + 0) / 3),
        "records": 4,
        "labels": 3,
    }


def test_labels_that_occur_stand_for_a_missing_list_and_rows_come_on_demand(files):
    found = score.score_submission(*files, None, per_label=True)
    assert found["labels"] == 2
    assert [(row["label"], row["positives"], row["predicted"]) for row in found["per_label"]] == [
        ("a", 2, 3),
        ("b", 2, 1),
    ]


def test_unofficial_labels_of_the_truth_are_left_out(tmp_path, files):
    truth = write(tmp_path / "more.json", TRUTH | {"4": ["unofficial"]})
    assert score.score_submission(files[0], truth, ["a", "b"], False) == score.score_submission(
        *files, ["a", "b"], False
    )


@pytest.mark.parametrize(("truth", "names"), [({"1": [], "2": []}, None), ({"1": ["z"], "2": []}, ["a"]), ({}, None)])
def test_a_truth_without_labels_is_refused(tmp_path, truth, names):
    """No score is a number then, and NaN is no JSON."""
    files = write(tmp_path / "submission.json", {key: [] for key in truth}), write(tmp_path / "truth.json", truth)
    with pytest.raises(UserError, match=r"truth.json: no record in it has an official label"):
        score.score_submission(*files, names, per_label=False)


@pytest.mark.parametrize(
    ("submission", "message"),
    [
        ({key: SUBMISSION[key] for key in "123"}, "submission.json: lacks 1 ids, such as .*4"),
        (SUBMISSION | {"5": []}, "submission.json: has 1 unknown ids, such as .*5"),
        (SUBMISSION | {"4": ["z"]}, "id .*4.*label .*z.* is not an official one"),
    ],
)
def test_a_submission_that_does_not_fit_is_refused(tmp_path, files, submission, message):
    wrong = write(tmp_path / "submission.json", submission)
    with pytest.raises(UserError, match=message):
        score.score_submission(wrong, files[1], ["a", "b"], False)


# The scoring rule


STACK = Stack(
    candidates=("mean",),
    fuse_student=True,
    calibration="platt",
    record_features=True,
    record_number=False,
    neighbour_widths=(),
    trees=1,
    early_stopping=0,
    tree_learning_rate=0.1,
    leaves=2,
    min_leaf_rows=1,
    frequent_positives=1,
    thresholds="shrunk",
    threshold_prior=0.0,
    fold_combination="mean",
    min_labels=0,
    max_labels=3,
    bootstrap_samples=100,
)


def contest_of(folder, **changes):
    base = yaml.safe_load(BASE.read_text(encoding="utf-8"))["contest"]
    return Contest.model_validate(base | {"folder": folder} | changes, strict=False)


@pytest.fixture
def run(tmp_path):
    """A run up to stage 9 with two test records."""
    paths = RunPaths("r", tmp_path / "runs", tmp_path / "submissions")
    paths.records.parent.mkdir(parents=True)
    table = {"id": ["r0", "r1", "r2"], "part": ["train", "test", "test"], "labels": [["a"], [], []]}
    pd.DataFrame(table).to_parquet(paths.records, index=False)
    write_json(paths.labels, {"labels": ["a", "b"]})
    entry = {
        "oof_macro_f1": 0.5,
        "oof_interval": [0.4, 0.6],
        "optimistic_oof_macro_f1": 0.75,
        "test_macro_f1": None,
        "test_interval": None,
        "oof_minus_test": None,
        "minus_mean": {"difference": 0.0, "interval": [0.0, 0.0]},
        "minus_best_single": {"difference": 0.0, "interval": [0.0, 0.0]},
        "pseudo_rows": 3,
        "adversarial_steps": 0,
    }
    card = {
        "run": "r",
        "encoders": {"small_ernie": {"before": 5.0, "after": 2.25}},
        "best_single": "tfidf.round0",
        "final": entry,
        "members": {"tfidf.round0": entry},
        "student": None,
        "fusion": {"mean": entry},
        "note": "kept",
    }
    write_json(paths.card, card)
    for name, decided in {
        "final": [[True, False], [False, True]],
        "tfidf.round0": [[True, False], [True, False]],
        "mean": [[False, False], [False, True]],
    }.items():
        write_array(paths.decisions(name) / "test.npy", np.array(decided))
    return paths


TRUE = np.array([[True, False], [False, True]])


def check(run, contest):
    score.score_run(run, contest, STACK, seed=0)
    card = json.loads(run.scores.read_text())
    for name, entry in {"final": card["final"], **card["members"], **card["fusion"]}.items():
        assert entry["test_macro_f1"] == macro_f1(np.load(run.decisions(name) / "test.npy"), TRUE)
        assert entry["test_micro_f1"] == micro_f1(np.load(run.decisions(name) / "test.npy"), TRUE)
        assert entry["oof_minus_test"] == 0.5 - entry["test_macro_f1"]
        low, high = entry["test_interval"]
        assert low <= entry["test_macro_f1"] <= high
    assert card["final"]["test_macro_f1"] == 1.0
    assert card["note"] == "kept" and card["final"]["pseudo_rows"] == 3


def test_the_truth_fills_every_entry(run, tmp_path, capsys):
    write(tmp_path / "truth.json", {"r2": ["b"], "r1": ["a", "unofficial"]})
    check(run, contest_of(tmp_path, truth="truth.json"))
    said = capsys.readouterr()
    assert "test macro-F1 1.0000, out of fold 0.5000 below it" in said.err
    names = ("Macro-F1 of run r", "tfidf.round0", "mean", "final", "small_ernie: 5.000 → 2.250")
    assert all(name in said.out for name in names)


def test_a_table_in_the_contests_format_is_a_truth_too_and_aliases_count(run, tmp_path):
    write(tmp_path / "aliases.json", {"Bee": "b"})
    rows = [{"emr_id": "r1", "diagnosis": ["a"]}, {"emr_id": "r2", "diagnosis": ["Bee"]}]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    check(run, contest_of(tmp_path, truth="test.jsonl", aliases="aliases.json"))


def test_without_a_truth_the_card_stays_as_it_is_and_is_printed(run, tmp_path, capsys):
    score.score_run(run, contest_of(tmp_path), STACK, seed=0)
    said = capsys.readouterr()
    assert "Macro-F1 of run r" in said.out and "no truth file" in said.err
    assert json.loads(run.scores.read_text()) == json.loads(run.card.read_text())


def test_a_truth_of_other_records_is_refused_and_nothing_written(run, tmp_path):
    write(tmp_path / "truth.json", {"r1": ["a"], "r9": ["b"]})
    with pytest.raises(UserError, match=r"truth.json: lacks 1 ids, such as .*r2"):
        score.score_run(run, contest_of(tmp_path, truth="truth.json"), STACK, seed=0)
    assert not run.scores.exists()
