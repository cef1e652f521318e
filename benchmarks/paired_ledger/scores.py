"""What a ledger makes of its probabilities: paired differences to a baseline, and their table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypedDict

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats, read_array, read_json
from polydx.config import Settings
from polydx.contest.records import DUPLICATE_GROUP, LABELS, PART, TRAIN, read_records
from polydx.ensemble.thresholds import DecisionRule
from polydx.judge.folds import make_folds, read_folds
from polydx.judge.intervals import Interval, paired_interval, resampled_macro_f1
from polydx.judge.metrics import Mask, Scores, macro_f1
from polydx.judge.nested import cross_fitted_decisions
from polydx.paths import RunPaths

Integers = npt.NDArray[np.int64]
HALVINGS = 5
"""Where one fold is run, the score is the mean over so many, since thresholds from half a fold waver."""


class Entry(TypedDict):
    """One way of training beside the baseline, over the seeds that both have.

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


@dataclass(frozen=True)
class FoldRows:
    """The training rows of the folds that a ledger runs.

    Attributes:
        scored: How they are scored.
        fold_of_row: `[rows]`, from 0.
    """

    scored: ScoredRows
    fold_of_row: Integers

    def score(self, answers: Sequence[Floats]) -> Scored:
        """Score each fold's probabilities of its validation rows, in the order of the folds."""
        probabilities = np.zeros(self.scored.targets.shape, dtype=np.float32)
        for fold, found in enumerate(answers):
            probabilities[self.fold_of_row == fold] = found
        return self.scored.score(probabilities)


def rows_of_folds(paths: RunPaths, folds: Path, count: int, settings: Settings) -> FoldRows:
    """Choose the rows of the first folds: thresholds come from the other folds, or of a single fold from half of it.

    Args:
        paths: Hold the training records, among others.
        folds: The split's file.
        count: How many folds.
        settings: The run's, whose rule decides.
    """
    records = read_records(paths.records, paths.labels, [PART, LABELS, DUPLICATE_GROUP])
    fold_of_row, stack, seed = read_folds(folds).fold_of_row(repeat=0), settings.stack, settings.run.seed
    chosen = np.isin(fold_of_row, range(count))
    targets, parts = records.targets()[chosen], fold_of_row[chosen]
    dealings: tuple[Integers, ...] = (parts,)
    if count == 1:
        halves = make_folds(
            ["" for _ in targets],
            targets,
            records.part(TRAIN)[DUPLICATE_GROUP].to_numpy(dtype=np.int64)[chosen],
            scheme="repeated",
            folds=2,
            repeats=HALVINGS,
            holdout_share=0.0,
            seed=seed,
        )
        dealings = tuple(halves.fold_of_row(repeat) for repeat in range(HALVINGS))
    rule = DecisionRule(stack.threshold_prior, stack.min_labels, stack.max_labels, stack.thresholds)
    return FoldRows(ScoredRows(targets > 0, dealings, rule, stack.bootstrap_samples, seed), parts)


class Job(Protocol):
    """What a ledger asks of a training."""

    @property
    def done(self) -> bool:
        """Whether its files are there, and of these very settings."""

    @property
    def result(self) -> Path:
        """JSON with `processor_seconds`, null where they are not known."""

    @property
    def probabilities(self) -> Path:
        """Of its fold's validation rows."""


JobsBySeed = Mapping[int, Sequence[Job]]
"""A way of training: a job a fold, in the order of the folds."""


def entries(
    jobs: Mapping[str, JobsBySeed], settings: Mapping[str, str | None], baseline: str, rows: Callable[[], FoldRows]
) -> dict[str, Entry]:
    """Every way of training that shares a finished seed with the baseline, in their order.

    Args:
        jobs: By way of training.
        settings: What each changes; None for the baseline.
        baseline: One of them.
        rows: Reads what they are scored on, if anything is.
    """
    finished = {
        name: {seed: done for seed, done in by_seed.items() if all(job.done for job in done)}
        for name, by_seed in jobs.items()
    }
    if not finished[baseline]:
        return {}
    shared = {
        name: {seed: done for seed, done in by_seed.items() if seed in finished[baseline]}
        for name, by_seed in finished.items()
    }
    scored_rows = rows()
    scored = {
        name: {seed: scored_rows.score([read_array(job.probabilities) for job in done]) for seed, done in own.items()}
        for name, own in shared.items()
    }
    return {
        name: compare(scored[name], scored[baseline], settings[name], cost_ratio(own, finished[baseline]))
        for name, own in shared.items()
        if own
    }


def cost_ratio(own: JobsBySeed, plain: JobsBySeed) -> float | None:
    """Processor time as a ratio to the baseline's, over the jobs where both are known; None where none is."""
    pairs = [
        (read_json(job.result)["processor_seconds"], read_json(beside.result)["processor_seconds"])
        for seed, done in own.items()
        for job, beside in zip(done, plain[seed], strict=True)
    ]
    known = [pair for pair in pairs if None not in pair]
    return sum(mine for mine, _ in known) / sum(its for _, its in known) if known else None


def compare(own: Mapping[int, Scored], plain: Mapping[int, Scored], setting: str | None, cost: float | None) -> Entry:
    """Compare a way of training with the baseline, both by seed, over its own seeds."""
    by_seed = [own[seed].macro_f1 - plain[seed].macro_f1 for seed in own]
    difference = float(np.mean(by_seed))
    resampled = np.mean([own[seed].resampled - plain[seed].resampled for seed in own], axis=0)
    return {
        "setting": setting,
        "macro_f1": float(np.mean([each.macro_f1 for each in own.values()])),
        "difference": difference,
        "interval": paired_interval(resampled, difference),
        "by_seed": by_seed,
        "cost": cost,
    }


def table(ledger: Mapping[str, Mapping[str, Entry]]) -> str:
    """Markdown of everything that was compared on each data; a difference whose interval excludes zero is bold."""
    lines = ["| data | technique | macro-F1 | difference | by seed | time |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [_line(data, name, entry) for data, entries in ledger.items() for name, entry in entries.items()]
    return "\n".join(lines) + "\n"


def _line(data: str, name: str, entry: Entry) -> str:
    technique, difference, by_seed = name, "", ""
    if entry["setting"] is not None:
        low, high = entry["interval"]
        technique = f"{name}: `{entry['setting']}`"
        difference = f"{entry['difference']:+.3f} ({low:+.3f} to {high:+.3f})"
        by_seed = ", ".join(f"{each:+.3f}" for each in entry["by_seed"])
        if low > 0 or high < 0:
            difference = f"**{difference}**"
    cost = "" if entry["cost"] is None else f"{entry['cost']:.2f}×"
    return f"| {data} | {technique} | {entry['macro_f1']:.3f} | {difference} | {by_seed} | {cost} |"
