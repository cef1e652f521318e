"""One entry of the ledger of honest scores, and the keys that the score card shares with it."""

from collections.abc import Sequence

from polydx.judge.intervals import Interval, macro_f1_interval
from polydx.judge.metrics import Mask, label_scores, macro_f1, macro_f1_present, micro_f1, samples_f1

TEST_MACRO_F1, TEST_INTERVAL = "test_macro_f1", "test_interval"
"""Null until the scoring rule has read a truth file."""

Entry = dict[str, float | Interval | None]


def score_entry(decided: Mask, flattered: Mask, targets: Mask, *, samples: int, seed: int) -> Entry:
    """Score one way of deciding the labelled rows.

    Args:
        decided: `[rows, labels]`, by fits and thresholds that saw no label of the row's fold.
        flattered: `[rows, labels]`, by thresholds fitted on these very rows: what the honest score is worth is seen
            beside it.
        targets: `[rows, labels]`.
        samples: Resamples behind the interval.
        seed: Their seed.
    """
    return {
        "oof_macro_f1": macro_f1(decided, targets),
        "oof_interval": macro_f1_interval(decided, targets, samples=samples, seed=seed),
        "oof_macro_f1_present": macro_f1_present(decided, targets),
        "oof_micro_f1": micro_f1(decided, targets),
        "oof_samples_f1": samples_f1(decided, targets),
        "optimistic_oof_macro_f1": macro_f1(flattered, targets),
        TEST_MACRO_F1: None,
        TEST_INTERVAL: None,
    }


def label_rows(decided: Mask, targets: Mask, names: Sequence[str]) -> list[dict[str, str | int | float]]:
    """Counts and scores of each label, in label order."""
    scores = label_scores(decided, targets)
    return [
        {
            "label": name,
            "positives": int(scores.true_positives[label] + scores.false_negatives[label]),
            "predicted": int(scores.true_positives[label] + scores.false_positives[label]),
            "true_positives": int(scores.true_positives[label]),
            "precision": float(scores.precision[label]),
            "recall": float(scores.recall[label]),
            "f1": float(scores.f1[label]),
        }
        for label, name in enumerate(names)
    ]
