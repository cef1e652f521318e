"""The score card: the ledger's honest scores, and beside each what the models behind it were trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

Json = dict[str, Any]

NOTES = {
    "oof_macro_f1": "macro-F1 over all labels; whatever scored a row never saw its labels",
    "oof_interval": "95% bootstrap interval over records",
    "optimistic_oof_macro_f1": "the same with weights, trees and thresholds fitted on the scored rows: not a score",
    "minus_mean": "macro-F1 out of fold minus the plain mean's, with a paired interval; null if that doesn't compete",
    "minus_best_single": "the same against `best_single`, the member or student with the highest score on these rows",
    "oof_minus_test": "macro-F1 out of fold minus that on the test records",
    "pseudo_rows": "pseudo-labelled rows, summed over the training jobs of all fold models behind the score",
    "adversarial_steps": "training steps with perturbed embeddings, summed likewise",
    "masked_lm_loss": "masked-LM loss on held-out text before and after pre-training, of each encoder behind the score",
    "student": "its score is the fold students'; the shipped student trained on all rows and has none of its own",
}


class MaskedLmLoss(TypedDict):
    """Loss on held-out text around an encoder's pre-training; None where nothing was held out or trained."""

    before: float | None
    after: float | None


@dataclass(frozen=True)
class Training:
    """What the models behind one score were trained on, summed over their training jobs.

    Attributes:
        jobs: Training jobs; a model that went on from an earlier round's weights has that round's too.
        pseudo_rows: Pseudo-labelled rows.
        adversarial_steps: Steps with perturbed embeddings.
        encoders: Names of the encoders that the models started from.
    """

    jobs: int
    pseudo_rows: int
    adversarial_steps: int
    encoders: tuple[str, ...]


def add_up(reports: Sequence[Json], encoders: Sequence[str]) -> Training:
    """Sum the reports of training jobs, as their stages wrote them.

    Args:
        reports: One a job.
        encoders: The encoders that the jobs started from; one that stands there again counts once.
    """
    return Training(
        jobs=len(reports),
        pseudo_rows=sum(report["pseudo_rows"] for report in reports),
        adversarial_steps=sum(report["adversarial_steps"] for report in reports),
        encoders=tuple(dict.fromkeys(encoders)),
    )


def with_training(ledger: Json, seen: Mapping[str, Training], losses: Mapping[str, MaskedLmLoss]) -> Json:
    """The ledger, each of its scores with what the models behind it saw.

    Args:
        ledger: As the stack stage wrote it.
        seen: Training behind every member, the student and every fusion.
        losses: Masked-LM losses of every encoder.
    """

    def entry(name: str, scores: Json) -> Json:
        training = seen[name]
        return {
            **scores,
            "training_jobs": training.jobs,
            "pseudo_rows": training.pseudo_rows,
            "adversarial_steps": training.adversarial_steps,
            "masked_lm_loss": {encoder: losses[encoder] for encoder in training.encoders},
        }

    return {
        **ledger,
        "final": entry(ledger["choice"]["entry"], ledger["final"]),
        "members": {name: entry(name, scores) for name, scores in ledger["members"].items()},
        "student": entry("student", ledger["student"]) if ledger["student"] else None,
        "fusion": {name: entry(name, scores) for name, scores in ledger["fusion"].items()},
    }


Kind = Literal["member", "student", "fusion", "final"]


def card_entries(card: Json) -> list[tuple[str, Kind, Json]]:
    """Every scored entry of a ledger or a card: its name, what it is, and the entry itself.

    Members come first, then the student, the fusions and the final choice.
    """
    student = {"student": card["student"]} if card["student"] else {}
    groups: list[tuple[Kind, Json]] = [
        ("member", card["members"]),
        ("student", student),
        ("fusion", card["fusion"]),
        ("final", {"final": card["final"]}),
    ]
    return [(name, kind, entry) for kind, entries in groups for name, entry in entries.items()]


@dataclass(frozen=True)
class ScoreLine:
    """One line of the score table.

    Attributes:
        entry: `bert.round0`, `student`, `mean`, `final`, ….
        kind: What it is.
        oof: Macro-F1 out of fold.
        oof_interval: Its 95% interval.
        optimistic: The same with all that fuses and cuts fitted on the rows that are scored.
        test: Macro-F1 on the test rows, where their answers are known.
        test_interval: Its 95% interval.
        minus_mean: Macro-F1 out of fold minus the plain mean's, where that competes.
        minus_mean_interval: Its paired 95% interval.
        minus_best_single: Macro-F1 out of fold minus that of the best single input.
        minus_best_single_interval: Its paired 95% interval.
        pseudo_rows: Pseudo-rows that the models behind it saw, summed.
        adversarial_steps: Adversarial steps that they took, summed.
    """

    entry: str
    kind: Kind
    oof: float
    oof_interval: tuple[float, float]
    optimistic: float
    test: float | None
    test_interval: tuple[float, float] | None
    minus_mean: float | None
    minus_mean_interval: tuple[float, float] | None
    minus_best_single: float
    minus_best_single_interval: tuple[float, float]
    pseudo_rows: int
    adversarial_steps: int


def score_lines(card: Json) -> list[ScoreLine]:
    """Lines of a score card as JSON holds it, in the order of `card_entries`."""
    return [_line(name, kind, entry) for name, kind, entry in card_entries(card)]


def _line(name: str, kind: Kind, entry: Json) -> ScoreLine:
    mean, best, test_interval = entry["minus_mean"], entry["minus_best_single"], entry["test_interval"]
    return ScoreLine(
        entry=name,
        kind=kind,
        oof=entry["oof_macro_f1"],
        oof_interval=_pair(entry["oof_interval"]),
        optimistic=entry["optimistic_oof_macro_f1"],
        test=entry["test_macro_f1"],
        test_interval=_pair(test_interval) if test_interval else None,
        minus_mean=mean["difference"] if mean else None,
        minus_mean_interval=_pair(mean["interval"]) if mean else None,
        minus_best_single=best["difference"],
        minus_best_single_interval=_pair(best["interval"]),
        pseudo_rows=entry["pseudo_rows"],
        adversarial_steps=entry["adversarial_steps"],
    )


def _pair(interval: Sequence[float]) -> tuple[float, float]:
    return interval[0], interval[1]
