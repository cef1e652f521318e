"""Claims of GPUs with invented names, by real processes; and what a process shows itself."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from polydx.train.device import pick_device
from polydx.train.gpus import VISIBLE_VARIABLE, claim, claim_gpu, visible_gpus

JOB = """
import sys
from pathlib import Path
from polydx.train.gpus import claim
print(claim(sys.argv[2:], Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""
GPUS = ("7", "GPU-a1b2", "0")
Job = subprocess.Popen[str]


class Jobs:
    """Processes that claim one of `GPUS` and hold it until they are killed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started = folder, list[Job]()

    def start(self, *gpus: str) -> Job:
        command = [sys.executable, "-c", JOB, str(self.folder), *(gpus or GPUS)]
        pipe = subprocess.PIPE
        self.started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
        return self.started[-1]


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    jobs = Jobs(tmp_path / "locks")
    yield jobs
    for job in jobs.started:
        job.kill()
        job.communicate()


def claimed(job: Job) -> str:
    assert job.stdout is not None
    return job.stdout.readline().strip()


def said(job: Job) -> str:
    assert job.stderr is not None
    return job.stderr.readline().strip()


def test_jobs_side_by_side_have_a_gpu_each_and_one_too_many_waits_for_a_killed_one(jobs: Jobs) -> None:
    first, second, third = (jobs.start() for _ in range(3))
    taken = {claimed(job): job for job in (first, second, third)}
    assert set(taken) == set(GPUS)
    fourth = jobs.start()
    assert said(fourth) == "all of GPU 7, GPU-a1b2, 0 are taken by other jobs; waiting for one"
    taken["GPU-a1b2"].kill()
    assert claimed(fourth) == "GPU-a1b2"
    taken["0"].kill()
    taken["0"].wait()
    assert claimed(jobs.start()) == "0", "the only one that is free"


def test_who_sees_a_single_gpu_takes_it_and_others_keep_off(jobs: Jobs) -> None:
    assert [claimed(jobs.start("7")) for _ in range(2)] == ["7", "7"]
    assert claimed(jobs.start()) == "GPU-a1b2"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine with three GPUs, as torch would tell of it; returns the folder of the locks."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    # So that it is restored, whatever is set by then.
    monkeypatch.setenv(VISIBLE_VARIABLE, "")
    monkeypatch.delenv(VISIBLE_VARIABLE)
    claim_gpu.cache_clear()
    yield tmp_path / f"polydx-gpus-{os.getuid()}"
    claim_gpu.cache_clear()


def test_gpus_have_the_users_names_or_their_numbers(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert visible_gpus() == ("0", "1", "2")
    monkeypatch.setenv(VISIBLE_VARIABLE, "4, 7,GPU-a1b2")
    assert visible_gpus() == ("4", "7", "GPU-a1b2")
    monkeypatch.setenv(VISIBLE_VARIABLE, "4,7,2,-1,5")
    assert visible_gpus() == ("4", "7", "2")
    assert not machine.exists()


@pytest.mark.parametrize("asked", ["auto", "cuda"])
def test_a_process_claims_once_and_sees_no_other_gpu(machine: Path, jobs: Jobs, asked: str) -> None:
    jobs.folder = machine
    assert claimed(jobs.start("0")) == "0"
    for _ in range(2):
        assert pick_device(asked) == torch.device("cuda")
        assert os.environ[VISIBLE_VARIABLE] == "1"
    assert claimed(jobs.start("0", "1", "2")) == "2"


def test_a_job_on_the_cpu_or_of_several_processes_claims_nothing(machine: Path) -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto", claims=False) == torch.device("cuda")
    assert VISIBLE_VARIABLE not in os.environ
    assert not machine.exists()


def test_without_gpus_nothing_is_claimed(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == torch.device("cpu")
    assert VISIBLE_VARIABLE not in os.environ
    assert not machine.exists()


def test_a_program_that_outlives_the_job_does_not_keep_the_gpu(tmp_path: Path) -> None:
    leaves = "import subprocess; print(subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL).pid)"
    program = JOB.replace("sys.stdin.read()", leaves)
    job = [sys.executable, "-c", program, tmp_path, "0", "1"]
    gpu, outlived = subprocess.check_output(job, text=True).split()
    assert (gpu, claim(["0", "1"], tmp_path)) == ("0", "0")
    os.kill(int(outlived), signal.SIGKILL)
