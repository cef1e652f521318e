"""The technique ledger on the sample contest: stopped, gone on with, guarded, and scored as a plain bootstrap would."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from polydx.artifacts import read_json, write_json
from polydx.contest.sample import write_sample
from polydx.ensemble.thresholds import DecisionRule
from polydx.judge.metrics import macro_f1

OPTIONS = ["--techniques", "asl,ema", "--seeds", "1", "--folds", "1", "--jobs", "1"]
JOBS = [f"{technique}-seed0-fold0" for technique in ("asl", "baseline", "ema")]

Start = Callable[..., dict[str, Any]]


@pytest.fixture
def start(benchmark_module: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Start:
    """Start the benchmark on a new sample contest; returns its last line."""
    techniques = benchmark_module("techniques")
    write_sample(tmp_path / "raw", 150, 40, 40, 0)

    def run(*options: str) -> dict[str, Any]:
        folders = [f"--data=smoke={tmp_path / 'raw'}", f"--out={tmp_path / 'out'}"]
        assert techniques.main([*folders, *OPTIONS, *options]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
        return found

    return run


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}


def test_a_second_start_does_what_is_missing_and_other_settings_are_refused(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out" / "smoke"
    assert start("--minutes", "0") == {"jobs": 3, "left": 3, "ledger": {"smoke": {}}}
    assert not folder.exists()

    # A job that goes on from a checkpoint has a cost that nobody knows.
    checkpoints = folder / "work" / "ema-seed0-fold0" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "earlier").touch()
    first = start()
    assert (first["jobs"], first["left"]) == (3, 0)
    ledger = first["ledger"]["smoke"]
    assert list(ledger) == ["baseline", "asl", "ema"]
    assert (ledger["baseline"]["difference"], ledger["baseline"]["cost"]) == (0.0, 1.0)
    assert ledger["asl"]["cost"] > 0 and ledger["ema"]["cost"] is None
    low, high = ledger["asl"]["interval"]
    assert low <= high and len(ledger["asl"]["by_seed"]) == 1
    assert (tmp_path / "out" / "ledger.md").read_text(encoding="utf-8").count("| smoke |") == 3
    assert not list((folder / "work").iterdir())

    results = folder / "results"
    made = contents(results)
    assert sorted(made) == sorted(f"{job}.{ending}" for job in JOBS for ending in ("json", "npy"))
    assert start() == first
    assert contents(results) == made

    shutil.copy(results / "baseline-seed0-fold0.npy", results / "ema-seed0-fold0.npy")
    same = start()["ledger"]["smoke"]["ema"]
    assert (same["difference"], same["interval"]) == (0.0, [0.0, 0.0])
    (results / "asl-seed0-fold0.json").unlink()
    write_json(results / "ema-seed0-fold0.json", {"setting": "weights=swa", "processor_seconds": 1.0})
    less = start("--minutes", "0")
    assert less["left"] == 2 and list(less["ledger"]["smoke"]) == ["baseline"]

    made_by = read_json(folder / "made_by.json")
    made_by["settings"]["stack"]["threshold_prior"] += 1
    write_json(folder / "made_by.json", made_by)
    with pytest.raises(AssertionError):
        start()
    assert "other settings or other code" in capsys.readouterr().err


def test_frozen_layers_are_run_once_for_all_jobs_alike(start: Start, tmp_path: Path) -> None:
    frozen = ("--techniques", "frozen_words")
    assert start(*frozen)["left"] == 0
    (states,) = (tmp_path / "out" / "smoke" / "labelled" / "s5_finetune" / "lower_states").iterdir()
    made = contents(states)
    assert start(*frozen, "--seeds", "2")["left"] == 0
    assert contents(states) == made


def test_differences_and_intervals_are_those_of_a_plain_paired_bootstrap(
    benchmark_module: Callable[[str], ModuleType],
) -> None:
    scores = benchmark_module("paired_ledger.scores")
    rows, labels, samples = 60, 4, 50
    draw = np.random.default_rng(0)
    targets = draw.random((rows, labels)) < 0.4
    parts = (np.arange(rows) % 2, np.arange(rows) // 30)
    rule = DecisionRule(prior=5.0, min_labels=0, max_labels=labels, method="shrunk")
    found = {
        name: {seed: draw.random((rows, labels), dtype=np.float32) * 0.5 + noise * targets for seed in (0, 1)}
        for name, noise in (("plain", np.float32(0.2)), ("own", np.float32(0.4)))
    }
    scored_rows = scores.ScoredRows(targets, parts, rule, samples, 3)
    own, plain = ({seed: scored_rows.score(each) for seed, each in found[name].items()} for name in ("own", "plain"))
    entry = scores.compare(own, plain, "pooling=laat", None)

    def on(name: str, seed: int, drawn: np.ndarray) -> float:
        values = []
        for part in parts:
            decided = np.zeros_like(targets)
            for half in (0, 1):
                fitting, here = part != half, part == half
                thresholds = rule.fit(found[name][seed][fitting], targets[fitting])
                decided[here] = found[name][seed][here] >= thresholds
            values.append(macro_f1(decided[drawn], targets[drawn]))
        return float(np.mean(values))

    every = np.arange(rows)
    by_seed = [on("own", seed, every) - on("plain", seed, every) for seed in (0, 1)]
    resamples = np.random.default_rng(3).integers(0, rows, (samples, rows))
    differences = [
        np.mean([on("own", seed, drawn) - on("plain", seed, drawn) for seed in (0, 1)]) for drawn in resamples
    ]
    np.testing.assert_allclose(entry["by_seed"], by_seed, atol=1e-12)
    np.testing.assert_allclose(entry["difference"], np.mean(by_seed), atol=1e-12)
    bias = np.mean(differences) - np.mean(by_seed)
    np.testing.assert_allclose(entry["interval"], np.quantile(differences, [0.025, 0.975]) - bias, atol=1e-6)
    assert "| gaiic | laat: `pooling=laat` |" in scores.table({"gaiic": {"laat": entry}})
