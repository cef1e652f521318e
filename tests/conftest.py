"""What all tests share: a bounded, offline process, and one real run of the smoke configuration."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from polydx.paths import RunPaths

ROOT = Path(__file__).parents[1]
PROGRAM = Path(sys.executable).with_name("polydx")
SMOKE_RUN = "smoke-tests"
SMOKE_FOLDER = Path("data") / SMOKE_RUN
SMOKE_ARGUMENTS = ("run", "configs/smoke.yaml", f"run.name={SMOKE_RUN}", f"contest.folder={SMOKE_FOLDER}")
TAIL_LINES = 40

# Libraries, torch's threads included, read these when imported; processes that a test starts inherit them.
os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


@pytest.fixture(scope="session", autouse=True)
def working_products() -> None:
    """Settle torch's instructions before its first product, which many tests compute directly; spare those without."""
    if "torch" in sys.modules:
        from polydx.model.amx import avoid_broken_amx

        avoid_broken_amx()


@pytest.fixture(scope="session")
def smoke_run() -> RunPaths:
    """The files of a whole run of `configs/smoke.yaml`, under a name of its own, from the repository's root."""
    paths = RunPaths(SMOKE_RUN, ROOT / "runs", ROOT / "submissions")
    for folder in (paths.root, paths.submission, ROOT / SMOKE_FOLDER):
        shutil.rmtree(folder, ignore_errors=True)
    done = subprocess.run(
        [PROGRAM, *SMOKE_ARGUMENTS], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    tail = "\n".join(done.stdout.splitlines()[-TAIL_LINES:])
    assert done.returncode == 0, f"the smoke run ended with status {done.returncode}:\n{tail}"
    return paths
