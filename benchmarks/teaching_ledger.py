"""The ledger of `benchmarks/teaching.py`: what each method's decisions and times say against the baseline's."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from polydx.judge.intervals import Interval, interval, resampled_macro_f1
from polydx.judge.metrics import Mask, Scores, macro_f1
from teaching_methods import BASELINE


@dataclass(frozen=True)
class Line:
    """One method in the ledger.

    Attributes:
        method: Its name.
        macro_f1: Mean over the seeds.
        difference: To soft targets alone, mean over the seeds.
        between: Its 95% interval.
        cost: Times the training time of soft targets alone.
    """

    method: str
    macro_f1: float
    difference: float
    between: Interval
    cost: float

    @property
    def verdict(self) -> str:
        """What the interval says."""
        low, high = self.between
        return "better" if low > 0 else "worse" if high < 0 else "no difference shown"

    def rounded(self) -> dict[str, object]:
        """For the JSON."""
        return {
            "macro_f1": round(self.macro_f1, 4),
            "difference": round(self.difference, 4),
            "interval": [round(bound, 4) for bound in self.between],
            "cost": round(self.cost, 3),
            "verdict": self.verdict,
        }


def mean_over_seeds(differences: Sequence[Scores], draw: np.random.Generator) -> Interval:
    """Interval of the mean over the seeds, seeds drawn anew in every resample of the records.

    Args:
        differences: `[samples]` for each seed, on the same resamples.
        draw: Draws the seeds.
    """
    table = np.stack(differences)
    drawn = draw.integers(0, len(table), table.shape)
    return interval(np.take_along_axis(table, drawn, axis=0).mean(axis=0))


def compare(
    decided: Mapping[str, Sequence[Mask]], seconds: Mapping[str, Sequence[float]], targets: Mask, samples: int
) -> list[Line]:
    """A line for each method.

    Args:
        decided: Decisions of the same rows by each seed's students, of each method; `BASELINE` is one of them.
        seconds: Training times of its jobs, the same seeds and folds in the same order.
        targets: `[rows, labels]`.
        samples: Resamples of the records.
    """
    scores = {method: [macro_f1(each, targets) for each in rows] for method, rows in decided.items()}
    resampled = {
        method: [resampled_macro_f1(each, targets, samples=samples, seed=0) for each in rows]
        for method, rows in decided.items()
    }
    lines = []
    for method in decided:
        differences = [own - plain for own, plain in zip(resampled[method], resampled[BASELINE], strict=True)]
        costs = [own / plain for own, plain in zip(seconds[method], seconds[BASELINE], strict=True)]
        mean = statistics.fmean(scores[method])
        between = mean_over_seeds(differences, np.random.default_rng(0))
        lines.append(Line(method, mean, mean - statistics.fmean(scores[BASELINE]), between, statistics.median(costs)))
    return lines


def markdown(lines: Sequence[Line]) -> str:
    """The ledger as a table."""
    rows = [
        "| method | macro-F1 | − soft targets | 95% interval | cost | |",
        "| --- | ---: | ---: | --- | ---: | --- |",
    ]
    for line in lines:
        low, high = line.between
        if line.method == BASELINE:
            rows.append(f"| {line.method} | {line.macro_f1:.4f} | | | 1.00 | |")
        else:
            found = f"{line.difference:+.4f} | {low:+.4f} to {high:+.4f} | {line.cost:.2f} | {line.verdict}"
            rows.append(f"| {line.method} | {line.macro_f1:.4f} | {found} |")
    return "\n".join(rows) + "\n"
