"""Killed in the middle of fine-tuning and started again, a run ends with the bytes of an undisturbed one."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from polydx.paths import RunPaths

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("polydx")
NAME = "kill"
SETTINGS = (
    f"run.name={NAME}",
    "split={scheme: holdout}",
    "encoders.small_bert=null",
    "members.bert_fgm=null",
    "members.linear=null",
    "members.ernie_pgd={epochs: 15, batch_size: 8}",
    "pseudo.rounds=0",
    "distil.enabled=false",
    "stack.candidates=[mean]",
    "compute.checkpoint_seconds=0.1",
)
DEADLINE_SECONDS = 120


def start(folder: Path, contest: Path) -> subprocess.Popen[bytes]:
    """Start the engine up to the submission, in a session of its own."""
    paths = RunPaths(NAME)
    arguments = [PROGRAM, "run", ROOT / "configs" / "smoke.yaml", *SETTINGS, f"contest.folder={contest}"]
    return subprocess.Popen([*arguments, "--", paths.card], cwd=folder, start_new_session=True)


def processes_in(folder: Path) -> list[int]:
    """Every living process whose working folder it is, in whatever session."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def wait_for(condition, seconds: float) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="finds processes by /proc")
def test_a_run_killed_in_fine_tuning_ends_with_the_same_submission(new_run, sample_folder, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path.resolve() / "killed"
    folder.mkdir()
    shutil.copy(ROOT / "Snakefile", folder)
    paths = RunPaths(NAME, folder / "runs", folder / "submissions")
    checkpoint = paths.checkpoints("finetune-ernie_pgd-round0-fold0")

    engine = start(folder, sample_folder)
    wait_for(lambda: checkpoint.exists() or engine.poll() is not None, DEADLINE_SECONDS)
    os.killpg(engine.pid, signal.SIGKILL)
    assert engine.wait() == -signal.SIGKILL
    wait_for(lambda: not processes_in(folder), 10)
    assert checkpoint.exists()
    assert not paths.fold_model("ernie_pgd", 0, 0).report.exists()

    assert start(folder, sample_folder).wait(DEADLINE_SECONDS) == 0
    assert not checkpoint.exists()

    undisturbed = new_run(tmp_path / "undisturbed", "smoke.yaml", *SETTINGS, f"contest.folder={sample_folder}")
    undisturbed.do("clean", "split", "pretrain", "finetune", "stack", "submit")
    for file in ("submission.json", "settings.json"):
        assert (paths.submission / file).read_bytes() == (undisturbed.paths.submission / file).read_bytes()
    arrays = [file.relative_to(paths.root) for file in paths.root.rglob("*.npy")]
    assert len(arrays) > 5
    for array in arrays:
        assert (paths.root / array).read_bytes() == (undisturbed.paths.root / array).read_bytes(), array
