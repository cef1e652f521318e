"""Costs: products counted against the formula, forms timed in processes of their own."""

import json
from pathlib import Path

import pytest

from polydx.cli import main
from polydx.deploy.costs import count_costs
from polydx.deploy.measure import Job, measure
from polydx.deploy.profile import _run, pick_forms, profile
from polydx.deploy.student_model import StudentModel, load_student
from polydx.errors import UserError


def macs(model: StudentModel, tokens: int) -> int:
    """By hand: projections, scores and contexts, the two feed-forward products; pooler and head on one token.

    Of the last layer only keys and values are of all tokens.
    """
    config = model.config
    width, inner = config.hidden_size, config.intermediate_size
    layer = 4 * tokens * width**2 + 2 * tokens**2 * width + 2 * tokens * width * inner
    last = 2 * tokens * width**2 + 2 * width**2 + 2 * tokens * width + 2 * width * inner
    return (config.num_hidden_layers - 1) * layer + last + width**2 + width * config.num_labels


@pytest.mark.parametrize("tokens", [2, 24])
def test_products_are_counted_as_by_hand(student_folder: Path, tokens: int) -> None:
    model = load_student(student_folder).model
    costs = count_costs(model, student_folder, tokens)
    assert (costs.macs, costs.flops) == (macs(model, tokens), 2 * macs(model, tokens))
    assert costs.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert costs.disk_bytes == sum(len(file.read_bytes()) for file in student_folder.iterdir())


@pytest.mark.parametrize("form", ["fp32", "bf16"])
def test_every_call_is_timed(student_folder: Path, form: str) -> None:
    speed = measure(Job(form, str(student_folder), 20, 8, 4, 5, 1))  # type: ignore[arg-type]
    assert 0 < speed.p50_ms <= speed.p99_ms
    assert speed.records_a_second > 0
    assert speed.peak_memory_mb > 50


def test_the_command_times_forms_in_processes_of_their_own(
    student_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = [
        "profile",
        "--model",
        str(student_folder),
        "--form",
        "fp32",
        "--form",
        "int8",
        "--calls",
        "3",
        "--batch",
        "2",
    ]
    assert main(call) == 0
    output = capsys.readouterr()
    report = json.loads(output.out)
    assert report["counted"]["tokens"] == 24, "the student's longest"
    first, second = report["forms"]
    assert (first["form"], second["form"]) == ("fp32", "int8")
    assert second["speed"]["peak_memory_mb"] < first["speed"]["peak_memory_mb"], "torch isn't in its process"
    assert all(name in output.err for name in ("parameters", "MFLOPs", "int8", "p99 ms"))


def test_faults_are_named(student_folder: Path) -> None:
    with pytest.raises(UserError, match="--tokens: is 33; stay within the student's 32 positions"):
        profile(student_folder, ("fp32",), 33, 1, 1, 1)
    with pytest.raises(UserError, match=r"form int8: failed: .*no-such-file"):
        _run(Job("int8", "no-such-file", 20, 8, 1, 1, 1))
    with pytest.raises(UserError, match="--form: 'fp64' is no form; choose from fp32, bf16"):
        pick_forms(["fp32", "fp64"])
