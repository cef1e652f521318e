"""The table of fusions, read from a score card."""

import sys

from polydx.artifacts import write_json
from polydx.paths import RunPaths
from polydx.report.card import score_lines


def entry(value, mean, single, test=None):
    def difference(by):
        return {"difference": by, "interval": [by - 0.01, by + 0.01]}

    return {
        "oof_macro_f1": value,
        "oof_interval": [value - 0.02, value + 0.02],
        "optimistic_oof_macro_f1": value + 0.005,
        "test_macro_f1": test,
        "test_interval": None if test is None else [test - 0.03, test + 0.03],
        "minus_mean": difference(mean),
        "minus_best_single": difference(single),
        "pseudo_rows": 0,
        "adversarial_steps": 0,
    }


CARD = {
    "final": entry(0.6, 0.04, 0.05, test=0.62),
    "members": {"linear.round0": entry(0.55, -0.01, 0.0), "bert.round0": entry(0.4, -0.16, -0.15)},
    "student": None,
    "fusion": {"mean": entry(0.56, 0.0, 0.01), "lightgbm": entry(0.6, 0.04, 0.05)},
}


def test_the_inputs_the_fusions_and_the_choice(benchmark_module):
    lines = benchmark_module("fusion_table").fusion_table(score_lines(CARD), "linear.round0")
    assert lines == [
        "| entry | nested | un-nested | test | − mean | − best single |",
        "| --- | --- | --- | --- | --- | --- |",
        "| linear.round0 | 0.550 (0.530 to 0.570) | 0.555 | – | −0.010 (−0.020 to 0.000) | |",
        "| bert.round0 | 0.400 (0.380 to 0.420) | 0.405 | – | −0.160 (−0.170 to −0.150) | −0.150 (−0.160 to −0.140) |",
        "| mean | 0.560 (0.540 to 0.580) | 0.565 | – | | +0.010 (0.000 to +0.020) |",
        "| lightgbm | 0.600 (0.580 to 0.620) | 0.605 | – | +0.040 (+0.030 to +0.050) | +0.050 (+0.040 to +0.060) |",
        "| **final** | 0.600 (0.580 to 0.620) | 0.605 | 0.620 (0.590 to 0.650) |"
        " +0.040 (+0.030 to +0.050) | +0.050 (+0.040 to +0.060) |",
    ]


def test_a_run_without_a_card_or_with_an_old_one_is_named(benchmark_module, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fusion_table.py", "tiny"])
    main, source = benchmark_module("fusion_table").main, RunPaths("tiny").scores
    assert main() == 2
    assert capsys.readouterr().err == f"error: {source}: there is no such file; finish the run first\n"
    write_json(source, {"final": {}})
    assert main() == 2
    assert "was written before differences were kept; run it again" in capsys.readouterr().err
    write_json(source, CARD | {"best_single": "linear.round0"})
    assert main() == 0
    assert capsys.readouterr().out.startswith("| entry |")
