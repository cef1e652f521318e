"""The ledger of honest scores: every candidate's, the final choice's, and how far they differ."""

from collections.abc import Mapping, Sequence

from polydx.ensemble.fusions import FUSIONS, MEAN
from polydx.ensemble.selection import Choice, Judgement
from polydx.judge.entries import Difference, Entry, label_rows, score_entry
from polydx.judge.intervals import paired_interval, resampled_macro_f1
from polydx.judge.metrics import Mask, Scores, best_constant_prediction_f1, macro_f1

FINAL, STUDENT = "final", "student"
"""Names of entries; every entry that is neither these nor a fusion is a member's round."""


def make_ledger(
    judgements: Mapping[str, Judgement],
    choice: Choice,
    targets: Mask,
    label_names: Sequence[str],
    *,
    samples: int,
    seed: int,
) -> dict[str, object]:
    """Score everything on the scored rows.

    Each entry's honest score stands beside its optimistic one, and its differences to the plain mean, where that
    competes, and to the best single input. That is the best on the very rows that are scored here, which flatters it,
    not the fusions.

    Args:
        judgements: Of every candidate.
        choice: The final choice.
        targets: `[rows, labels]`, bool.
        label_names: Label order.
        samples: Resamples behind each interval.
        seed: Their seed; all entries are scored on the same resamples.
    """
    decided = {name: judgement.decided for name, judgement in judgements.items()} | {FINAL: choice.decided}
    flattered = {name: judgement.flattered for name, judgement in judgements.items()}
    flattered[FINAL] = flattered[choice.name]
    honest = {name: macro_f1(rows, targets) for name, rows in decided.items()}
    resampled = {name: resampled_macro_f1(rows, targets, samples=samples, seed=seed) for name, rows in decided.items()}
    best_single = max((name for name in judgements if name not in FUSIONS), key=lambda name: honest[name])

    def minus(name: str, other: str) -> Difference | None:
        return _difference(honest, resampled, name, other) if other in honest else None

    def entry(name: str) -> Entry:
        scored = score_entry(decided[name], flattered[name], targets, resampled[name])
        return scored | {"minus_mean": minus(name, MEAN), "minus_best_single": minus(name, best_single)}

    scored = {name: entry(name) for name in judgements}
    return {
        FINAL: entry(FINAL),
        "members": {name: scored[name] for name in scored if name not in {STUDENT, *FUSIONS}},
        STUDENT: scored.get(STUDENT),
        "fusion": {name: scored[name] for name in scored if name in FUSIONS},
        "best_single": best_single,
        "choice": {
            "entry": choice.name,
            "inner_macro_f1": choice.scores,
            "folds": [{"entry": next(iter(scores)), "inner_macro_f1": scores} for scores in choice.fold_scores],
        },
        "final_minus": {name: minus(FINAL, name) for name in judgements},
        "constant_macro_f1": best_constant_prediction_f1(targets),
        "scored_rows": len(targets),
        "labels": label_rows(choice.decided, targets, label_names),
    }


def _difference(honest: Mapping[str, float], resampled: Mapping[str, Scores], name: str, other: str) -> Difference:
    difference = honest[name] - honest[other]
    return {"difference": difference, "interval": paired_interval(resampled[name] - resampled[other], difference)}
