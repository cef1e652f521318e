"""One entry of the ledger of honest scores, and the keys that the score card shares with it."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from polydx.judge.intervals import Interval, score_interval
from polydx.judge.metrics import BETA, Mask, Scores, label_scores, macro_f1, summary

OOF, TEST = "oof_", "test_"
"""Begin the names of scores out of fold and on the test records."""
GAP = "oof_minus_test"
"""How far the out-of-fold macro-F1 lies above the test score."""


class Difference(TypedDict):
    """Macro-F1 of one way of deciding minus that of another, with the interval over the same resampled records."""

    difference: float
    interval: Interval


Entry = dict[str, float | Interval | Difference | None]


def score_entry(decided: Mask, flattered: Mask, targets: Mask, resampled: Scores) -> Entry:
    """Score one way of deciding the labelled rows; its test scores are null until a truth file has been read.

    Args:
        decided: `[rows, labels]`, by fits and thresholds that saw no label of the row's fold.
        flattered: `[rows, labels]`, by fits and thresholds that saw these very rows' labels: what the honest score is
            worth is seen beside it.
        targets: `[rows, labels]`.
        resampled: `[samples]`, macro-F1 of the decisions on resampled records.
    """
    scores = summary(decided, targets)
    return {
        **{f"{OOF}{name}": score for name, score in scores.items()},
        f"{OOF}interval": score_interval(resampled, scores["macro_f1"]),
        f"optimistic_{OOF}macro_f1": macro_f1(flattered, targets),
        **dict.fromkeys(f"{TEST}{name}" for name in scores),
        f"{TEST}interval": None,
        GAP: None,
    }


def scores_on_test(entry: Mapping[str, object], decided: Mask, targets: Mask, resampled: Scores) -> Entry:
    """The scores on the test records that an entry lacks.

    Args:
        entry: As `score_entry` left it.
        decided: `[test rows, labels]`.
        targets: `[test rows, labels]`.
        resampled: `[samples]`, macro-F1 of the decisions on resampled test records.

    Raises:
        TypeError: The entry has no out-of-fold macro-F1.
    """
    oof, scores = entry[f"{OOF}macro_f1"], summary(decided, targets)
    if not isinstance(oof, float | int):
        raise TypeError(f"an out-of-fold macro-F1 of {oof!r}")
    return {
        **{f"{TEST}{name}": score for name, score in scores.items()},
        f"{TEST}interval": score_interval(resampled, scores["macro_f1"]),
        GAP: oof - scores["macro_f1"],
    }


def label_rows(decided: Mask, targets: Mask, names: Sequence[str]) -> list[dict[str, str | int | float]]:
    """Counts and scores of each label, in label order."""
    scores = label_scores(decided, targets)
    f_beta = scores.f_beta(BETA)
    return [
        {
            "label": name,
            "positives": int(scores.true_positives[label] + scores.false_negatives[label]),
            "predicted": int(scores.true_positives[label] + scores.false_positives[label]),
            "true_positives": int(scores.true_positives[label]),
            "precision": float(scores.precision[label]),
            "recall": float(scores.recall[label]),
            "f1": float(scores.f1[label]),
            f"f{BETA:g}": float(f_beta[label]),
        }
        for label, name in enumerate(names)
    ]
