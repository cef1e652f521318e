import numpy as np
import pytest

from polydx.judge.entries import label_rows, score_entry, scores_on_test
from polydx.judge.intervals import resampled_macro_f1, score_interval
from polydx.judge.metrics import summary


def test_an_entry_holds_honest_and_flattered_scores_and_waits_for_the_test():
    draw = np.random.default_rng(0)
    targets = draw.random((200, 3)) < 0.3
    decided = targets ^ (draw.random((200, 3)) < 0.1)
    resampled = resampled_macro_f1(decided, targets, samples=200, seed=0)
    entry = score_entry(decided, targets, targets, resampled)
    assert entry["optimistic_oof_macro_f1"] == 1.0 > entry["oof_macro_f1"]
    assert {name: entry[f"oof_{name}"] for name in summary(decided, targets)} == summary(decided, targets)
    low, high = entry["oof_interval"]
    assert low < entry["oof_macro_f1"] < high
    waiting = {key for key, value in entry.items() if value is None}
    assert waiting == {f"test_{name}" for name in summary(decided, targets)} | {"test_interval", "oof_minus_test"}
    found = scores_on_test(entry, decided[:100], targets[:100], resampled)
    assert found.keys() == waiting
    assert found["oof_minus_test"] == pytest.approx(entry["oof_macro_f1"] - found["test_macro_f1"])
    assert found["test_interval"] == score_interval(resampled, found["test_macro_f1"])


def test_an_entry_without_a_score_has_no_gap():
    with pytest.raises(TypeError, match="None"):
        scores_on_test({"oof_macro_f1": None}, np.ones((2, 1), bool), np.ones((2, 1), bool), np.ones(3))


def test_label_rows_by_hand():
    targets = np.array([[1, 0], [1, 0], [0, 0]], dtype=bool)
    decided = np.array([[1, 0], [0, 0], [1, 0]], dtype=bool)
    first, second = label_rows(decided, targets, ["a", "b"])
    assert first == {
        "label": "a",
        "positives": 2,
        "predicted": 2,
        "true_positives": 1,
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
        "f2": 0.5,
    }
    assert (second["positives"], second["f1"]) == (0, 0.0)
