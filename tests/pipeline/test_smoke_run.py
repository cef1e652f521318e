"""A whole run of the smallest configuration, and what a second one does."""

import subprocess
import sys
import time
from pathlib import Path

from polydx.artifacts import read_json
from polydx.contest.records import ID, TEST, read_records
from polydx.paths import RunPaths

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("polydx")
LONGEST_SECONDS = 10.0


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_every_stage_leaves_its_artefacts(smoke_run: RunPaths) -> None:
    stages = {folder.name for folder in smoke_run.root.iterdir() if folder.is_dir() and folder.name != "checkpoints"}
    assert stages == {stage.stem for stage in (ROOT / "src" / "polydx" / "stages").glob("s[0-9]_*.py")}
    assert {file.name for file in smoke_run.submission.iterdir()} == {
        "submission.json",
        "scores.json",
        "settings.json",
        "versions.json",
        "figures",
        "student",
    }
    assert not list(smoke_run.root.rglob("*.part"))
    assert not [file for file in smoke_run.checkpoints("").rglob("*") if file.is_file()]


def test_the_submission_answers_every_test_record(smoke_run: RunPaths) -> None:
    records = read_records(smoke_run.records, smoke_run.labels)
    submission = read_json(smoke_run.submission / "submission.json")
    assert sorted(submission) == sorted(records.part(TEST)[ID])
    known = set(records.label_names)
    assert all(1 <= len(labels) <= 9 and set(labels) <= known for labels in submission.values())


def test_the_card_scores_every_entry_out_of_fold_and_on_the_test_records(smoke_run: RunPaths) -> None:
    card = read_json(smoke_run.scores)
    members = {f"{member}.round{number}" for member in ("bert_fgm", "ernie_pgd", "linear") for number in (0, 1)}
    assert set(card["members"]) == members
    assert set(card["fusion"]) == {"mean", "weighted", "lightgbm"}
    entries = {"final": card["final"], "student": card["student"], **card["members"], **card["fusion"]}
    for name, entry in entries.items():
        for part in ("oof", "test"):
            low, high = entry[f"{part}_interval"]
            assert 0 <= low <= entry[f"{part}_macro_f1"] <= high <= 1, name
    for name in members - {"linear.round0", "linear.round1"}:
        assert card["members"][name]["adversarial_steps"] > 0
    assert all((card["members"][name]["pseudo_rows"] > 0) == name.endswith(".round1") for name in members)


def test_a_second_run_does_nothing_says_so_and_is_quick(smoke_run: RunPaths) -> None:
    before = {folder: contents(folder) for folder in (smoke_run.root, smoke_run.submission)}
    started = time.monotonic()
    command = [PROGRAM, "run", smoke_run.settings]
    said = subprocess.check_output(command, cwd=ROOT, text=True, stderr=subprocess.STDOUT)
    assert time.monotonic() - started < LONGEST_SECONDS
    assert "Nothing to be done" in said
    assert {folder: contents(folder) for folder in before} == before
