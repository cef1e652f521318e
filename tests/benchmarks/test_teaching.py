"""The ledger of teaching methods on the smoke run: stopped, gone on with, guarded, and without a touch on the run."""

import json
from pathlib import Path

import pytest

METHOD = "hint (FitNets)"


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def start(benchmark_module, smoke_run, tmp_path, capsys):
    """Start the benchmark on the smoke run with some options; returns its last line."""
    teaching = benchmark_module("teaching")
    fixed = ["--run", smoke_run.name, "--output", str(tmp_path / "ledger"), "--method", METHOD, "--seeds", "1"]

    def run(*options):
        assert teaching.main([*fixed, "--jobs", "1", *options]) == 0
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


def test_methods_are_compared_and_resumed(start, smoke_run, tmp_path, capsys):
    ledger, one_fold = tmp_path / "ledger", ("--folds", "1")
    before = times(smoke_run.root)
    empty = start(*one_fold, "--minutes", "0")
    assert (empty["jobs"], empty["left"], empty["methods"]) == (2, 2, {})

    # What a killed job left is no part of the next.
    (ledger / "work" / "soft_targets-seed0-fold0").mkdir(parents=True)
    found = start(*one_fold)
    assert times(smoke_run.root) == before
    assert found["left"] == 0 and list(found["methods"]) == ["soft targets", METHOD]
    plain, hint = found["methods"].values()
    assert (plain["setting"], plain["difference"], plain["interval"], plain["cost"]) == (None, 0.0, [0.0, 0.0], 1.0)
    assert hint["setting"] == "lessons.hint=1.0, lessons.teacher=bert_fgm"
    assert hint["difference"] == pytest.approx(hint["macro_f1"] - plain["macro_f1"], abs=1e-9)
    assert hint["interval"][0] <= hint["interval"][1] and hint["cost"] > 0 and len(hint["by_seed"]) == 1
    assert METHOD in (ledger / "teaching.md").read_text(encoding="utf-8")
    assert not list((ledger / "work").iterdir())

    results = times(ledger / "results")
    (lost,) = (ledger / "results").glob("hint*.json")
    answers = lost.with_suffix(".npy").read_bytes()
    lost.unlink()
    again = start(*one_fold)
    assert lost.with_suffix(".npy").read_bytes() == answers
    assert {path for path, age in times(ledger / "results").items() if results[path] != age} == {
        lost,
        lost.with_suffix(".npy"),
    }
    assert [each["macro_f1"] for each in again["methods"].values()] == [plain["macro_f1"], hint["macro_f1"]]
    assert start(*one_fold, "--epochs", "0.5", "--minutes", "0")["left"] == 2

    made_by = ledger / "made_by.json"
    made_by.write_text(made_by.read_text().replace(smoke_run.name, "elsewhere"))
    with pytest.raises(AssertionError):
        start(*one_fold)
    assert "another run or other code" in capsys.readouterr().err
