import os
import subprocess
import sys

import pytest
import torch

from polydx.errors import UserError
from polydx.model.amx import ISA_VARIABLE
from polydx.train.device import (
    CUBLAS_VARIABLE,
    CUBLAS_WORKSPACE,
    RATE_SECONDS,
    job_seed,
    matrix_rate,
    pick_device,
    prepare,
)


def test_seeds_differ_by_job_and_run_and_never_change() -> None:
    seeds = {job_seed(seed, job) for seed in range(20) for job in ("one-round0-fold0", "one-round0-fold1")}
    assert len(seeds) == 40
    assert job_seed(0, "one-round0-fold0") == 197778896077073
    assert max(seeds) < 2**63


def test_cpu_is_always_there_and_an_absent_gpu_is_the_users_fault() -> None:
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match=r"compute\.device: is cuda, but no GPU is visible; use auto or cpu"):
            pick_device("cuda")


ANSWER = """
import torch
from polydx.train.device import bf16_available, prepare
prepare(1, 0)
print(bf16_available(torch.device("cpu")))
"""


def test_what_a_core_says_of_bf16_is_the_same_at_every_start_and_false_without_its_instructions() -> None:
    environment = {key: value for key, value in os.environ.items() if key != ISA_VARIABLE}

    def answer(isa: dict[str, str]) -> str:
        done = subprocess.run(
            [sys.executable, "-c", ANSWER], env=environment | isa, text=True, capture_output=True, check=True
        )
        return done.stdout.strip()

    assert len({answer({}) for _ in range(3)}) == 1
    assert answer({ISA_VARIABLE: "AVX2"}) == "False"


CHILD = """
import os, torch
from polydx.train.device import prepare
prepare(1, 7)
print(torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.rand(3).tolist())
square = torch.ones(64, 64, dtype=torch.bfloat16)
print(torch.mm(square, square)[0, 0].item(), os.environ["CUBLAS_WORKSPACE_CONFIG"])
"""


def test_a_prepared_process_is_seeded_bounded_and_survives_a_bf16_product() -> None:
    environment = {key: value for key, value in os.environ.items() if key not in (ISA_VARIABLE, CUBLAS_VARIABLE)}
    done = subprocess.run([sys.executable, "-c", CHILD], env=environment, text=True, capture_output=True, check=True)
    expected = torch.rand(3, generator=torch.Generator().manual_seed(7)).tolist()
    assert done.stdout.splitlines() == [f"1 True {expected}", f"64.0 {CUBLAS_WORKSPACE}"]


def test_the_users_own_workspace_of_cublas_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CUBLAS_VARIABLE, ":16:8")
    prepare(torch.get_num_threads(), 0)
    assert os.environ[CUBLAS_VARIABLE] == ":16:8"


def test_the_matrix_rate_is_measured_once_and_draws_nothing() -> None:
    state = torch.get_rng_state()
    rates = {matrix_rate(torch.device("cpu"), bf16=False) for _ in range(2)}
    assert torch.equal(torch.get_rng_state(), state)
    assert len(rates) == 1
    # No slower than the whole time for one product of 1024 x 1024 tells, were it the only one.
    assert rates.pop() > 2 * 1024**3 / (RATE_SECONDS * 100)
