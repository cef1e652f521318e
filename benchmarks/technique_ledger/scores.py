"""What `techniques.py` makes of its probabilities: paired differences to the baseline, and their table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.ensemble.thresholds import DecisionRule
from polydx.judge.intervals import Interval, interval, resampled_macro_f1
from polydx.judge.metrics import Mask, Scores, macro_f1
from polydx.judge.nested import cross_fitted_decisions

Integers = npt.NDArray[np.int64]
BASELINE = "baseline"


class Entry(TypedDict):
    """One technique beside the baseline, over the seeds that both have.

    Attributes:
        setting: What it changes; None for the baseline itself.
        macro_f1: Mean over the seeds.
        difference: To the baseline, mean over the seeds.
        interval: Of `difference`, over the same resampled records for both.
        by_seed: The difference with each seed.
        cost: Processor time as a ratio to the baseline's; None where it is not known.
    """

    setting: str | None
    macro_f1: float
    difference: float
    interval: Interval
    by_seed: list[float]
    cost: float | None


@dataclass(frozen=True)
class Scored:
    """Macro-F1 of one training: on the rows as they are, and on each resample `[samples]`."""

    macro_f1: float
    resampled: Scores


@dataclass(frozen=True)
class ScoredRows:
    """The rows that a ledger is scored on, and how they are decided.

    Attributes:
        targets: `[rows, labels]`, bool.
        dealings: Each `[rows]`: a row is decided by thresholds from the rows of the other parts.
        rule: Fits thresholds and decides.
        samples: Resamples.
        seed: Of the resamples: everything is scored on the same ones.
    """

    targets: Mask
    dealings: tuple[Integers, ...]
    rule: DecisionRule
    samples: int
    seed: int

    def score(self, probabilities: Floats) -> Scored:
        """Score `[rows, labels]`, float32 in [0, 1]; means over the dealings."""
        decided = [cross_fitted_decisions(probabilities, self.targets, parts, self.rule) for parts in self.dealings]
        resampled = [resampled_macro_f1(each, self.targets, samples=self.samples, seed=self.seed) for each in decided]
        scores = [macro_f1(each, self.targets) for each in decided]
        return Scored(float(np.mean(scores)), np.mean(resampled, axis=0))


def compare(own: Mapping[int, Scored], plain: Mapping[int, Scored], setting: str | None, cost: float | None) -> Entry:
    """Compare a technique with the baseline, both by seed, over the technique's seeds."""
    by_seed = [own[seed].macro_f1 - plain[seed].macro_f1 for seed in own]
    resampled = np.mean([own[seed].resampled - plain[seed].resampled for seed in own], axis=0)
    return {
        "setting": setting,
        "macro_f1": float(np.mean([each.macro_f1 for each in own.values()])),
        "difference": float(np.mean(by_seed)),
        "interval": interval(resampled),
        "by_seed": by_seed,
        "cost": cost,
    }


def table(ledger: Mapping[str, Mapping[str, Entry]]) -> str:
    """Markdown of every data's techniques; a difference whose interval excludes zero is bold."""
    lines = ["| data | technique | macro-F1 | difference | by seed | time |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [_line(data, name, entry) for data, entries in ledger.items() for name, entry in entries.items()]
    return "\n".join(lines) + "\n"


def _line(data: str, name: str, entry: Entry) -> str:
    technique, difference, by_seed = "plain", "", ""
    if name != BASELINE:
        low, high = entry["interval"]
        technique = f"{name}: `{entry['setting']}`"
        difference = f"{entry['difference']:+.3f} ({low:+.3f} to {high:+.3f})"
        by_seed = ", ".join(f"{each:+.3f}" for each in entry["by_seed"])
        if low > 0 or high < 0:
            difference = f"**{difference}**"
    cost = "" if entry["cost"] is None else f"{entry['cost']:.2f}×"
    return f"| {data} | {technique} | {entry['macro_f1']:.3f} | {difference} | {by_seed} | {cost} |"
