import json

import numpy as np
import pandas as pd
import pytest

from polydx.artifacts import write_json
from polydx.config import Split
from polydx.errors import UserError
from polydx.judge.folds import read_folds
from polydx.paths import RunPaths
from polydx.stages import s3_split

SPLIT = Split(scheme="stratified", folds=3, repeats=1, holdout_share=0.2)


@pytest.fixture
def paths(tmp_path):
    paths = RunPaths("r", tmp_path / "runs", tmp_path / "submissions")
    labels = [["a"], ["a", "b"], [], ["b"], ["a"], ["a"], ["b"], ["b"], ["c"], ["a"], [], []]
    table = pd.DataFrame(
        {
            "id": [f"r{row}" for row in range(14)],
            "part": ["train"] * 12 + ["test", "unlabelled"],
            "labels": [*labels, [], []],
            "duplicate_group": [0, 0, *range(1, 13)],
        }
    )
    paths.records.parent.mkdir(parents=True)
    table.to_parquet(paths.records, index=False)
    write_json(paths.labels, {"labels": ["a", "b", "c"]})
    return paths


def test_it_writes_folds_of_the_training_rows_and_names_rare_labels(paths, capsys):
    s3_split.run(paths, SPLIT, seed=0)
    folds = read_folds(paths.folds)
    assert folds.table["id"].tolist() == [f"r{row}" for row in range(12)]
    assert folds.jobs == 3
    assert folds.table["fold"][0] == folds.table["fold"][1]
    coverage = json.loads(paths.coverage.read_text())
    assert coverage["rare_labels"] == ["c"]
    assert coverage["rows"] == 12 and coverage["groups"] == 11
    assert coverage["validation_rows"] == [int(folds.validation(job).sum()) for job in range(3)]
    first = coverage["labels"][0]
    assert (first["label"], first["positives"], first["groups"]) == ("a", 5, 4)
    assert sum(first["validation_positives"]) == 5
    assert sorted(path.name for path in paths.folds.parent.iterdir()) == ["coverage.json", "folds.parquet"]
    assert "12 records in 3 fold jobs, 1 labels rarer" in capsys.readouterr().err


def test_the_same_seed_gives_the_same_bytes(paths):
    written = []
    for _ in range(2):
        s3_split.run(paths, SPLIT, seed=7)
        written.append((paths.folds.read_bytes(), paths.coverage.read_bytes()))
    assert written[0] == written[1]


def test_a_holdout_is_one_job_in_which_a_label_needs_two_groups(paths):
    s3_split.run(paths, SPLIT.model_copy(update={"scheme": "holdout"}), seed=0)
    folds = read_folds(paths.folds)
    assert folds.jobs == 1
    assert 0 < folds.scored().sum() < 12
    np.testing.assert_array_equal(folds.training(0), ~folds.scored())
    assert json.loads(paths.coverage.read_text())["rare_labels"] == ["c"]


def test_too_few_records_leave_nothing_behind(paths):
    with pytest.raises(UserError, match="40 folds of 11 groups"):
        s3_split.run(paths, SPLIT.model_copy(update={"folds": 40}), seed=0)
    assert not paths.folds.parent.exists()
