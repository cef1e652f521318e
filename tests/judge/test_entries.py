import numpy as np

from polydx.judge.entries import label_rows, score_entry


def test_an_entry_holds_honest_and_flattered_scores_and_waits_for_the_test():
    draw = np.random.default_rng(0)
    targets = draw.random((200, 3)) < 0.3
    decided = targets ^ (draw.random((200, 3)) < 0.1)
    entry = score_entry(decided, targets, targets, samples=200, seed=0)
    assert entry["optimistic_oof_macro_f1"] == 1.0 > entry["oof_macro_f1"]
    low, high = entry["oof_interval"]
    assert low < entry["oof_macro_f1"] < high
    assert entry["test_macro_f1"] is None and entry["test_interval"] is None


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
    }
    assert (second["positives"], second["f1"]) == (0, 0.0)
