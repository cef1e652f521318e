"""The ledger of teaching methods on the smoke run: resumed, paired, and without a touch on the run."""

import importlib
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
METHOD = "hint (FitNets)"


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()}


def test_methods_are_compared_and_resumed(smoke_run, run_benchmark, tmp_path):
    arguments = ["--run", smoke_run.name, "--output", str(tmp_path / "ledger"), "--method", METHOD]
    arguments += ["--seeds", "1", "--folds", "2", "--threads", "1"]
    before = times(smoke_run.root)
    found = run_benchmark("teaching", *arguments)
    assert times(smoke_run.root) == before
    assert set(found["methods"]) == {"soft targets", METHOD}
    plain, hint = found["methods"]["soft targets"], found["methods"][METHOD]
    assert plain["difference"] == 0.0 and plain["interval"] == [0.0, 0.0] and plain["cost"] == 1.0
    assert hint["difference"] == pytest.approx(hint["macro_f1"] - plain["macro_f1"], abs=2e-4)
    assert hint["interval"][0] <= hint["interval"][1] and hint["cost"] > 0
    assert METHOD in (tmp_path / "ledger" / "teaching.md").read_text(encoding="utf-8")

    results = times(tmp_path / "ledger")
    (lost, *_) = (path for path in results if path.parent.name == "results" and path.suffix == ".json")
    answers = lost.with_suffix(".npy").read_bytes()
    lost.unlink()
    again = run_benchmark("teaching", *arguments)
    assert lost.with_suffix(".npy").read_bytes() == answers
    made = {path for path, age in times(tmp_path / "ledger").items() if results[path] != age}
    assert made == {lost, lost.with_suffix(".npy"), *(tmp_path / "ledger").glob("teaching.*")}
    assert [each["macro_f1"] for each in again["methods"].values()] == [plain["macro_f1"], hint["macro_f1"]]

    with pytest.raises(SystemExit, match="another run, settings or code"):
        described = next((tmp_path / "ledger").glob("*/method.json"))
        described.write_text(described.read_text().replace(smoke_run.name, "elsewhere"))
        run_benchmark("teaching", *arguments)


def test_interval_resamples_seeds_and_records_together(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    ledger = importlib.import_module("teaching_ledger")
    differences = list(np.random.default_rng(0).normal(size=(3, 50)))
    drawn = np.random.default_rng(1).integers(0, 3, (3, 50))
    by_hand = [np.mean([differences[seed][sample] for seed in drawn[:, sample]]) for sample in range(50)]
    expected = tuple(np.quantile(by_hand, [0.025, 0.975]))
    found = ledger.mean_over_seeds(differences, np.random.default_rng(1))
    assert found == pytest.approx(expected, abs=1e-12)
    alone = ledger.mean_over_seeds(differences[:1], np.random.default_rng(1))
    assert alone == pytest.approx(tuple(np.quantile(differences[0], [0.025, 0.975])), abs=1e-12)
