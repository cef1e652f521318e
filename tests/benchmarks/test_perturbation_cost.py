"""The benchmark on the smallest BERT: it is the test of the perturbations on a real encoder, with dropout."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "perturbation_cost.py"
SMALLEST = ["--vocabulary", "3000", "--layers", "1", "--width", "64", "--rows", "3", "--tokens", "8", "--rounds", "2"]


def test_gradients_equal_the_textbooks_and_take_no_more_memory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("perturbation_cost", SCRIPT)
    assert spec is not None and spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *SMALLEST])
    assert benchmark.main() == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(found) == {"ratio_fgm", "ratio_pgd", "fgm", "pgd"}
    for method in ("fgm", "pgd"):
        assert found[method]["largest_difference"] < 1e-6
        assert found[method]["peak_mib"]["ours"] < found[method]["peak_mib"]["textbook"]
        assert found[f"ratio_{method}"] == found[method]["ratio_wall"]["median"] > 0
