"""The score card: the ledger's honest scores, and beside each what the models behind it were trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

Json = dict[str, Any]

NOTES = {
    "oof_macro_f1": "macro-F1 over all labels; whatever scored a row never saw its labels",
    "oof_interval": "95% bootstrap interval over records",
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


@dataclass(frozen=True)
class ScoreLine:
    """One line of the score table.

    Attributes:
        entry: `bert.round0`, `student`, `mean`, `final`, ….
        kind: What it is.
        oof: Macro-F1 out of fold.
        oof_interval: Its 95% interval.
        test: Macro-F1 on the test rows, where their answers are known.
        test_interval: Its 95% interval.
        pseudo_rows: Pseudo-rows that the models behind it saw, summed.
        adversarial_steps: Adversarial steps that they took, summed.
    """

    entry: str
    kind: Literal["member", "student", "fusion", "final"]
    oof: float
    oof_interval: tuple[float, float]
    test: float | None
    test_interval: tuple[float, float] | None
    pseudo_rows: int
    adversarial_steps: int


def score_lines(card: Json) -> list[ScoreLine]:
    """Lines of a score card as JSON holds it: members, the student, the fusions and the final choice, in this order."""
    student = {"student": card["student"]} if card["student"] else {}
    return [
        *(_line(name, "member", entry) for name, entry in card["members"].items()),
        *(_line(name, "student", entry) for name, entry in student.items()),
        *(_line(name, "fusion", entry) for name, entry in card["fusion"].items()),
        _line("final", "final", card["final"]),
    ]


def _line(name: str, kind: Literal["member", "student", "fusion", "final"], entry: Json) -> ScoreLine:
    test_interval = entry["test_interval"]
    return ScoreLine(
        name,
        kind,
        entry["oof_macro_f1"],
        (entry["oof_interval"][0], entry["oof_interval"][1]),
        entry["test_macro_f1"],
        (test_interval[0], test_interval[1]) if test_interval else None,
        entry["pseudo_rows"],
        entry["adversarial_steps"],
    )
