"""Thresholds carried over to other models: a run that is not finished."""

import sys
from pathlib import Path

import pytest

from polydx.resolve import load_settings, write_settings
from small_runs import small_run

SMOKE = Path(__file__).parents[2] / "configs" / "smoke.yaml"


@pytest.mark.parametrize(
    ("stage", "lacking"), [("clean", "records.parquet"), ("split", "folds.parquet"), ("stack", "ledger.json")]
)
def test_a_run_that_is_not_finished_is_told_what_to_run(
    benchmark_module, monkeypatch, capsys, tmp_path, stage, lacking
):
    paths = small_run(tmp_path)
    write_settings(load_settings(SMOKE), paths.settings)
    for file in (paths.records, paths.folds):
        if file.name == lacking:
            file.unlink()
    monkeypatch.setattr(sys, "argv", ["threshold_transfer.py", str(paths.root)])
    assert benchmark_module("threshold_transfer").main() == 2
    said = capsys.readouterr().err
    assert f"{lacking}: is not there yet; run polydx {stage} first" in said and said.count("\n") == 1
