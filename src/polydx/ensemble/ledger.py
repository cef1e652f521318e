"""The ledger of honest scores: every candidate's, the final choice's, and how far they differ."""

from collections.abc import Mapping, Sequence

from polydx.ensemble.selection import Choice, Verdict
from polydx.judge.entries import Entry, label_rows, score_entry
from polydx.judge.intervals import Interval, difference_interval
from polydx.judge.metrics import Mask, best_constant_prediction_f1, macro_f1

FINAL, STUDENT = "final", "student"
FUSIONS = ("mean", "weighted", "lightgbm")
"""Names of entries; every other entry is a member's round."""

Difference = dict[str, float | Interval]


def make_ledger(
    verdicts: Mapping[str, Verdict],
    choice: Choice,
    targets: Mask,
    label_names: Sequence[str],
    *,
    samples: int,
    seed: int,
) -> dict[str, object]:
    """Score everything on the scored rows.

    Args:
        verdicts: Of every candidate.
        choice: The final choice.
        targets: `[rows, labels]`, bool.
        label_names: Label order.
        samples: Resamples behind each interval.
        seed: Their seed.
    """

    def entry(decided: Mask, flattered: Mask) -> Entry:
        return score_entry(decided, flattered, targets, samples=samples, seed=seed)

    def final_minus(other: Mask) -> Difference:
        return {
            "difference": macro_f1(choice.decided, targets) - macro_f1(other, targets),
            "interval": difference_interval(choice.decided, other, targets, samples=samples, seed=seed),
        }

    scored = {name: entry(verdict.decided, verdict.flattered) for name, verdict in verdicts.items()}
    return {
        FINAL: entry(choice.decided, verdicts[choice.name].flattered),
        "members": {name: scored[name] for name in scored if name not in {STUDENT, *FUSIONS}},
        STUDENT: scored.get(STUDENT),
        "fusion": {name: scored[name] for name in scored if name in FUSIONS},
        "choice": {
            "entry": choice.name,
            "inner_macro_f1": choice.scores,
            "folds": [{"entry": next(iter(scores)), "inner_macro_f1": scores} for scores in choice.fold_scores],
        },
        "final_minus": {name: final_minus(verdict.decided) for name, verdict in verdicts.items()},
        "constant_macro_f1": best_constant_prediction_f1(targets),
        "scored_rows": len(targets),
        "labels": label_rows(choice.decided, targets, label_names),
    }
