"""What tests of benchmarks share: a benchmark run in the test's own process, from the repository's root."""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ImportBenchmark = Callable[[str], ModuleType]
RunBenchmark = Callable[..., dict[str, Any]]


@pytest.fixture
def benchmark_module(monkeypatch: pytest.MonkeyPatch) -> ImportBenchmark:
    """Import a benchmark, or a module beside it, by its name."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module


@pytest.fixture
def run_benchmark(
    benchmark_module: ImportBenchmark, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> RunBenchmark:
    """Run `benchmarks/NAME.py` with arguments, and read the JSON of its last line."""

    def run(name: str, *arguments: str) -> dict[str, Any]:
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
        # A benchmark sets it where it isn't set, and would leave it so for the tests that follow.
        monkeypatch.setenv("RAYON_NUM_THREADS", "1")
        assert benchmark_module(name).main() == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
        return found

    return run
