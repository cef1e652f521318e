"""The score that hides in the record number: what the user may get wrong."""

import sys

import numpy as np
import pytest


def test_records_come_in_the_order_of_their_numbers(benchmark_module, tmp_path):
    (tmp_path / "labels.txt").write_text("a\nb\n", encoding="utf-8")
    (tmp_path / "label_sets.csv").write_text("emr_id,diagnosis\nZY10,b\nZY9,a|b\n", encoding="utf-8")
    numbers, targets = benchmark_module("record_number").read_contest(tmp_path)
    assert numbers.tolist() == [9, 10]
    np.testing.assert_array_equal(targets, [[True, True], [False, True]])


@pytest.mark.parametrize("missing", ["labels.txt", "label_sets.csv"])
def test_a_missing_file_is_named(benchmark_module, monkeypatch, capsys, tmp_path, missing):
    if missing == "label_sets.csv":
        (tmp_path / "labels.txt").write_text("a\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["record_number.py", str(tmp_path)])
    assert benchmark_module("record_number").main() == 2
    expected = f"error: {tmp_path / missing}: there is no such file; put it there or correct DATA_FOLDER\n"
    assert capsys.readouterr().err == expected


def test_a_table_without_its_columns_is_named(benchmark_module, monkeypatch, capsys, tmp_path):
    (tmp_path / "labels.txt").write_text("a\n", encoding="utf-8")
    table = tmp_path / "label_sets.csv"
    table.write_text("id,diagnosis\n9,a\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["record_number.py", str(tmp_path)])
    assert benchmark_module("record_number").main() == 2
    assert capsys.readouterr().err == f"error: {table}: has no column 'emr_id'; give its columns emr_id and diagnosis\n"
