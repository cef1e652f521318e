"""What benchmarks of finished runs say of one that lacks what they measure: one line, and exit status 2."""

import sys
from pathlib import Path

import pytest

from polydx.resolve import load_settings, write_settings

SMOKE = Path(__file__).parents[2] / "configs" / "smoke.yaml"


@pytest.mark.parametrize("name", ["early_exit", "student"])
def test_there_is_no_such_run(benchmark_module, monkeypatch, capsys, tmp_path, name):
    assert said(benchmark_module(name), monkeypatch, capsys, tmp_path, "absent").startswith("error: runs/absent/")


def test_a_run_before_its_last_stage_is_told_what_to_run(benchmark_module, monkeypatch, capsys, tmp_path):
    write_settings(load_settings(SMOKE, ["distil.enabled=true"]), tmp_path / "runs/begun/settings.json")
    words = said(benchmark_module("student"), monkeypatch, capsys, tmp_path, "begun")
    assert words.startswith("error: runs/begun/s8_stack/ledger.json: is not there yet; run polydx stack first")
    assert words.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "override", "lacking"),
    [
        ("early_exit", "distil.exits=none", "has no student with early exits; run it with distil.exits=joint"),
        ("early_exit", "distil.enabled=false", "has no student with early exits; run it with distil.exits=joint"),
        ("student", "distil.enabled=false", "has no student; run it with distil.enabled=true"),
    ],
)
def test_a_run_without_what_is_measured_is_told_how_to_get_it(
    benchmark_module, monkeypatch, capsys, tmp_path, name, override, lacking
):
    write_settings(load_settings(SMOKE, [override]), tmp_path / "runs/begun/settings.json")
    words = said(benchmark_module(name), monkeypatch, capsys, tmp_path, "begun")
    assert words == f"error: runs/begun/settings.json: {lacking}\n"


def said(benchmark, monkeypatch, capsys, folder, run):
    """What a benchmark writes to standard error before it ends with status 2."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["benchmark", "--run", run, "--threads", "1"])
    monkeypatch.setenv("RAYON_NUM_THREADS", "1")
    assert benchmark.main() == 2
    return capsys.readouterr().err
