"""Scores over fold seeds: read from finished runs' cards, added up, and made by the package's own program."""

import fcntl
import json
import sys
from pathlib import Path

import pytest

from polydx.artifacts import write_json
from polydx.paths import RunPaths
from polydx.resolve import load_settings, write_settings

SMOKE = Path(__file__).parents[2] / "configs" / "smoke.yaml"
FINALS = {0: (0.62, 0.60), 1: (0.60, 0.61), 2: (0.64, 0.615)}


@pytest.fixture
def fold_seeds(benchmark_module):
    return benchmark_module("fold_seeds")


def card(seed, final, test):
    return {
        "seed": seed,
        "final": {
            "oof_macro_f1": final,
            "test_macro_f1": test,
            "oof_minus_test": None if test is None else final - test,
        },
        "members": {"linear.round0": {"oof_macro_f1": 0.5}, "bert.round0": {"oof_macro_f1": 0.52}},
        "student": None,
        "fusion": {"mean": {"oof_macro_f1": 0.55}},
        "best_single": "bert.round0",
        "choice": {"entry": "mean"},
    }


def finish_by_hand(fold_seeds, seed, final, test):
    """Lay down what a finished run of the smoke contest leaves to read."""
    overrides = fold_seeds.seed_overrides(load_settings(SMOKE).run, seed)
    settings = load_settings(SMOKE, overrides)
    paths = RunPaths(settings.run.name)
    write_json(paths.scores, card(seed, final, test))
    write_settings(settings, paths.submission / "settings.json")
    return paths


def start(fold_seeds, monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["fold_seeds.py", str(SMOKE), *arguments])
    status = fold_seeds.main()
    return status, capsys.readouterr().out.splitlines()


def test_finished_runs_are_read_and_added_up(fold_seeds, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    for seed, (final, test) in FINALS.items():
        finish_by_hand(fold_seeds, seed, final, test)
    status, lines = start(fold_seeds, monkeypatch, capsys, "--seeds", "3", "--peer-score", "0.61")
    assert status == 0
    assert lines[2] == "| 0 | 0.6200 | 0.6000 | +0.0200 | mean | 0.5200 (bert.round0) | +0.0100 |"
    assert len(lines) == 2 + 3 + 1
    found = json.loads(lines[-1])
    assert found["macro_f1"] == 0.62 and found["macro_f1_by_seed"] == [0.62, 0.6, 0.64]
    assert found["spread"] == 0.04
    assert found["gap"] == 0.025  # of seed 2, the worst
    assert found["minus_peer"] == 0.01 and found["best_single_macro_f1"] == 0.52


def test_without_test_labels_or_a_peer(fold_seeds):
    scores = [fold_seeds.read_score(card(0, 0.6, None))]
    assert fold_seeds.table(scores, None)[2] == "| 0 | 0.6000 | – | – | mean | 0.5200 (bert.round0) |"
    summary = fold_seeds.summarise("tiny", scores, None)
    assert summary["gap"] is None and "peer" not in summary and summary["spread"] == 0.0


def test_each_seed_has_a_run_of_its_own(fold_seeds):
    own = load_settings(SMOKE)
    settings = [load_settings(SMOKE, fold_seeds.seed_overrides(own.run, number)) for number in (0, 2)]
    assert [each.run.name for each in settings] == ["smoke", "smoke_seed2"]
    assert [each.run.seed for each in settings] == [0, 2]
    assert [each.distil.enabled for each in settings] == [True, False]
    assert settings[0] == own


def test_the_first_run_is_the_configurations_own_whatever_its_seed(fold_seeds, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    for seed, name, student in ((5, "smoke", True), (6, "smoke_seed1", False)):
        settings = load_settings(SMOKE, ["run.seed=5"])
        changed = settings.model_copy(
            update={
                "run": settings.run.model_copy(update={"name": name, "seed": seed}),
                "distil": settings.distil.model_copy(update={"enabled": student}),
            }
        )
        write_json(RunPaths(name).scores, card(seed, 0.6, None))
        write_settings(changed, RunPaths(name).submission / "settings.json")
    # An unfinished run would be made, which takes longer than a test may and fails without a contest.
    status, lines = start(fold_seeds, monkeypatch, capsys, "run.seed=5", "--seeds", "2")
    assert status == 0 and json.loads(lines[-1])["seeds"] == [5, 6]


def test_a_run_with_other_settings_or_without_scores_is_not_finished(fold_seeds, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    paths = finish_by_hand(fold_seeds, 1, 0.6, None)
    overrides = fold_seeds.seed_overrides(load_settings(SMOKE).run, 1)
    assert fold_seeds.is_finished(paths, load_settings(SMOKE, overrides))
    assert not fold_seeds.is_finished(paths, load_settings(SMOKE, [*overrides, "stack.trees=6"]))
    paths.scores.unlink()
    assert not fold_seeds.is_finished(paths, load_settings(SMOKE, overrides))


def test_an_unfinished_run_is_made_by_the_program_whose_failure_ends_it(fold_seeds, monkeypatch, tmp_path, capfd):
    monkeypatch.chdir(tmp_path)
    paths = RunPaths("smoke_seed1")
    paths.root.mkdir(parents=True)
    with (paths.root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SystemExit, match="the run smoke_seed1 ended with exit status 2"):
            fold_seeds.finish(SMOKE, fold_seeds.seed_overrides(load_settings(SMOKE).run, 1))
    assert "another run of this name is at work" in capfd.readouterr().err


def test_a_fault_in_the_settings_is_named(fold_seeds, monkeypatch, capsys):
    status, lines = start(fold_seeds, monkeypatch, capsys, "split.foldss=3")
    assert status == 2 and lines == []
