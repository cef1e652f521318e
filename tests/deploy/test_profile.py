"""Costs: products counted against the formula, forms timed in processes of their own, speeds on real records."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from polydx.cli import main
from polydx.deploy.costs import count_costs
from polydx.deploy.drawn_records import batches_of, draw_records
from polydx.deploy.exit_savings import ALL_SPEEDS, savings
from polydx.deploy.measure import Form, Job, measure
from polydx.deploy.profile import _run, pick_forms, profile
from polydx.deploy.student_model import StudentModel, load_student
from polydx.deploy.timed_batches import random_batches, read_batches, write_batches
from polydx.errors import UserError
from polydx.model.tokens import TokenTable


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


@pytest.fixture
def random_file(tmp_path: Path) -> str:
    """Four records of eight tokens."""
    write_batches(random_batches(20, 8, 4), tmp_path / "batches.npz")
    return str(tmp_path / "batches.npz")


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Twelve records of many lengths, shortest and longest in the middle."""
    lines = [f"r{row},48,男,{'咳嗽发热' * (row * 5 % 12)},无" for row in range(12)]
    table = tmp_path / "records.csv"
    table.write_text("\n".join(["emr_id,age,gender,complaint,history", *lines]), encoding="utf-8")
    return table


@pytest.mark.parametrize("form", ["fp32", "bf16"])
def test_every_call_is_timed(student_folder: Path, random_file: str, form: Form) -> None:
    (speed,) = measure(Job(form, str(student_folder), random_file, 5, 1))
    assert 0 < speed.p50_ms <= speed.p99_ms
    assert speed.records_a_second > 0
    assert speed.peak_memory_mb > 50


def test_batches_survive_their_file(tmp_path: Path) -> None:
    tokens = TokenTable(np.arange(1, 7, dtype=np.int32), np.array([0, 3, 4, 6]), pad_id=0)
    timed = batches_of(tokens, batch=2, ones=2)
    assert [ids.tolist() for ids, _ in timed.batches] == [[[4, 0], [5, 6]], [[1, 2, 3]]], "in order of length"
    assert [mask.tolist() for _, mask in timed.batches] == [[[1, 0], [1, 1]], [[1, 1, 1]]]
    assert [ids.tolist() for ids, _ in timed.ones] == [[[4]], [[1, 2, 3]]], "short ones and long ones"
    write_batches(timed, tmp_path / "batches.npz")
    again = read_batches(tmp_path / "batches.npz")
    for kept, made in zip([*again.ones, *again.batches], [*timed.ones, *timed.batches], strict=True):
        np.testing.assert_array_equal(kept, made)


def test_records_are_drawn_and_read_as_prediction_reads_them(student_folder: Path, records: Path) -> None:
    student = load_student(student_folder)
    every = draw_records(student, records, 100)
    texts = ["男 48岁 主诉:" + "咳嗽发热" * (row * 5 % 12) for row in range(1, 12)]
    expected = student.tokenizer(texts, truncation=True, max_length=24)["input_ids"]
    assert [every.ids[every.starts[row] : every.starts[row + 1]].tolist() for row in range(1, 12)] == expected
    some = draw_records(student, records, 5)
    assert len(some.lengths) == 5
    assert set(some.lengths) <= set(every.lengths)


def test_a_malformed_record_is_named(student_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("{broken\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"1 of 1 records are malformed: line 1, column 2 .*; mend them"):
        draw_records(load_student(student_folder), tmp_path / "bad.jsonl", 5)


def test_what_speeds_save_is_the_work_that_layers_are_spared(leaving_folder: Path, records: Path) -> None:
    student = load_student(leaving_folder)
    model = student.stock_model()
    tokens = draw_records(student, records, 100)
    config = model.config
    width, inner = config.hidden_size, config.intermediate_size
    found = []
    for speed in ALL_SPEEDS:
        leaving = load_student(leaving_folder, speed)
        spent, whole = 0, 0
        for row, length in enumerate(tokens.lengths.tolist()):
            layers_run: list[int] = []
            for layer in leaving.stock_model().bert.encoder.layer[:-1]:
                layer.output.register_forward_hook(lambda *_, seen=layers_run: seen.append(1))
            finished: list[int] = []
            leaving.stock_model().classifier.register_forward_hook(lambda *_, seen=finished: seen.append(1))
            leaving.score(*tokens.pad(np.array([row])))
            layer_work = 4 * length * width**2 + 2 * length**2 * width + 2 * length * width * inner
            last_work = 2 * length * width**2 + 2 * width**2 + 2 * length * width + 2 * width * inner
            spent += len(layers_run) * layer_work + len(finished) * last_work
            whole += (config.num_hidden_layers - 1) * layer_work + last_work
        found.append(1 - spent / whole)
    assert savings(leaving_folder, model, tokens) == pytest.approx(found)
    assert found[0] == 0 < found[-1]


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
    assert report["records"] is None
    first, second = report["forms"]
    assert (first["form"], second["form"]) == ("fp32", "int8")
    assert first["asked"] is first["saved"] is None
    assert second["speed"]["peak_memory_mb"] < first["speed"]["peak_memory_mb"], "torch isn't in its process"
    assert all(name in output.err for name in ("random tokens", "parameters", "MFLOPs", "int8", "p99 ms"))
    assert "early exits" not in output.err


def test_the_command_times_every_speed_on_real_records(
    leaving_folder: Path, records: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    call = ["profile", "--model", str(leaving_folder), "--form", "fp32", "--input", str(records)]
    assert main([*call, "--calls", "3", "--batch", "5"]) == 0
    output = capsys.readouterr()
    report = json.loads(output.out)
    assert report["records"] == 12
    student = load_student(leaving_folder)
    tokens = draw_records(student, records, 100)
    assert report["counted"]["tokens"] == np.sort(tokens.lengths)[6], "the median"
    plain, *speeds = report["forms"]
    assert plain["asked"] is None
    assert [each["asked"] for each in speeds] == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    assert [each["saved"] for each in speeds] == pytest.approx(
        savings(leaving_folder, student.stock_model(), tokens), abs=1e-4
    )
    assert all(each["speed"]["records_a_second"] > 0 for each in speeds)
    assert speeds[0]["megabytes"] >= plain["megabytes"]
    for each in speeds:
        assert f"fp32 --speed {each['asked']:g} " in output.err
        assert f" {each['saved']:.1%} " in output.err


def test_random_tokens_say_how_speeds_are_timed(leaving_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert profile(leaving_folder, (), None, 8, 1, 1, 1).forms == ()
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"profile: {leaving_folder} has early exits; --input FILE times them on real records"


def test_records_from_a_pipe_are_refused(student_folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(writing)
    with pytest.raises(UserError, match="is no regular file, and records are read twice"):
        profile(student_folder, ("fp32",), Path(f"/dev/fd/{reading}"), None, 1, 1, 1)
    os.close(reading)


def test_faults_are_named(student_folder: Path, random_file: str, records: Path) -> None:
    with pytest.raises(UserError, match="--tokens: is 33; stay within the student's 32 positions"):
        profile(student_folder, ("fp32",), None, 33, 1, 1, 1)
    with pytest.raises(UserError, match=r"--tokens: is of random records, .*--input have their own lengths; give one"):
        profile(student_folder, ("fp32",), records, 8, 1, 1, 1)
    with pytest.raises(UserError, match=r"form int8: failed: .*no-such-file"):
        _run(Job("int8", "no-such-file", random_file, 1, 1))
    with pytest.raises(UserError, match="--form: 'fp64' is no form; choose from fp32, bf16"):
        pick_forms(["fp32", "fp64"])
