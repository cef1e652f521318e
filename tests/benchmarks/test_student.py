"""The student's benchmark on the smoke run: what its last line says, and that it follows from the run's own scores."""

import pytest

from polydx.artifacts import read_json

KEYS = ("macro_f1_share", "macro_f1_share_member", "throughput_ratio", "throughput_ratio_member")


def test_shares_and_ratios(smoke_run, run_benchmark):
    found = run_benchmark("student", "--run", smoke_run.name, "--rows", "16", "--repeats", "1", "--threads", "1")
    assert all(found[key] > 0 for key in KEYS)
    assert found["records"] == 16
    ledger = read_json(smoke_run.ledger)
    student = ledger["student"]["oof_macro_f1"]
    neural = {name: entry["oof_macro_f1"] for name, entry in ledger["members"].items() if "linear" not in name}
    assert found["macro_f1_share"] == pytest.approx(student / ledger["final"]["oof_macro_f1"], abs=1e-4)
    assert found["macro_f1_share_member"] == pytest.approx(student / max(neural.values()), abs=1e-4)
    assert neural[found["member"]] == max(neural.values())
    assert {"fp32", f"{found['member']}, one fold"} < set(found["records_a_second"])


@pytest.mark.parametrize(
    ("chosen", "entries"),
    [
        ("mean", ["a.round0", "a.round1", "b.round0"]),
        ("weighted", ["a.round1", "b.round0"]),
        ("a.round1", ["a.round1"]),
        ("student", ["a.round0", "a.round1", "b.round0"]),
    ],
)
def test_the_ensemble_is_what_the_final_choice_needs(benchmark_module, chosen, entries):
    ledger = {
        "choice": {"entry": chosen},
        "members": {"a.round0": {}, "a.round1": {}, "b.round0": {}},
        "weights": {"weighted": {"a.round0": 0.0, "a.round1": 0.5, "b.round0": 0.25, "student": 0.25}},
    }
    assert benchmark_module("student").needed(ledger) == entries
