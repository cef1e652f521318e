"""Runs of equal departments: where the order of the records falls into stretches with label rates of their own.

Records exported department by department, or diagnosis by diagnosis, leave runs in the order of their numbers: inside a
run the label rates are constant, at its ends they jump. A window of fixed width blurs those ends; here they are found.
The labelled records are split top down as long as two Beta-Bernoulli stretches explain them better than one, beyond the
choice of the place. A start is then known up to the gap between two labelled records. Lengths that recur tell more: an
export under a quota has many runs of one length. So the starts get a joint posterior, a chain whose prior of a length
is what the *other* runs have (EM, leave one out); without a quota it stays flat.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, logsumexp

from polydx.artifacts import Floats
from polydx.judge.metrics import Mask, Scores

Integers = npt.NDArray[np.int64]

_BREADTH = 2.0
"""Records' worth of certainty of the prior of a run's label rates while runs are sought: most rates are near 0 or 1."""
_PULL = 5.0
"""Records' worth of pull of a found run's label rates towards the overall ones."""
_STRONG = 3.0
"""Nats by which two runs must beat one beyond the choice of the place: Kass and Raftery's (1995) strong evidence."""
_REACH = 12
"""A start is looked for among so many labelled records on either side of the likeliest one."""
_UNLIKELY = 14.0
"""Places so many nats below the likeliest one are no candidates."""
_GAP_PLACES = 32
"""Most places tried inside one gap between two labelled records."""
_SWEEPS, _LENGTH_ROUNDS = 10, 12
_FLAT_RUNS = 1.0
"""Runs' worth of flat prior over lengths."""


@dataclass(frozen=True)
class Runs:
    """Runs found among labelled records.

    Attributes:
        places: One array a run but the first: numbers at which it may start, increasing.
        chances: Of the same shape: the probability of each.
        rates: `[runs, labels]`, float64, label rates, shrunk towards the overall ones.
    """

    places: tuple[Scores, ...]
    chances: tuple[Scores, ...]
    rates: Scores

    def rates_at(self, numbers: Scores) -> Floats:
        """Expected label rates of the runs that these numbers may lie in: `[rows, labels]`, float32; no NaN allowed."""
        if not self.places:
            return np.repeat(self.rates.astype(np.float32), len(numbers), axis=0)
        settled = np.maximum.accumulate([places[-1] for places in self.places])
        expected = self.rates[np.searchsorted(settled, numbers, side="right")]
        order = np.argsort(numbers, kind="stable")
        ordered = numbers[order]
        for run, (places, chances) in enumerate(zip(self.places, self.chances, strict=True)):
            first, last = np.searchsorted(ordered, [places[0], settled[run]])
            rows = order[first:last]
            begun = np.append(0.0, np.cumsum(chances))[np.searchsorted(places, numbers[rows], side="right")]
            expected[rows] += begun[:, None] * (self.rates[run + 1] - self.rates[run])
        return np.clip(expected, 0, 1).astype(np.float32)


def find_runs(numbers: Scores, targets: Mask) -> Runs:
    """Find the runs of labelled records.

    Args:
        numbers: `[labelled rows]`, float64, whole record numbers, strictly increasing, at least one; for any other
            order, ranks.
        targets: `[labelled rows, labels]`, bool.
    """
    evidence = _Evidence(targets)
    starts = _refined(_split(evidence), evidence)
    edges = np.array([0, *starts, len(numbers)])
    counts = np.diff(evidence.sums[edges], axis=0)
    rates = (counts + _PULL * evidence.overall) / (np.diff(edges)[:, None] + _PULL)
    places, fits = [], []
    for run, start in enumerate(starts):
        first, last = max(edges[run] + 1, start - _REACH), min(edges[run + 2] - 1, start + _REACH)
        found = _candidates(numbers, targets, (first, last), rates[run], rates[run + 1])
        places.append(found[0])
        fits.append(found[1])
    return Runs(tuple(places), tuple(_chances(places, fits)), rates)


class _Evidence:
    """Log marginal likelihoods of stretches of records, each label Beta-Bernoulli with the overall rate as its mean."""

    def __init__(self, targets: Mask) -> None:
        rows, labels = targets.shape
        self.rows = rows
        self.sums = np.concatenate([np.zeros((1, labels), dtype=np.int64), np.cumsum(targets, axis=0, dtype=np.int64)])
        self.overall: Scores = (targets.sum(axis=0) + 0.5) / (rows + 1)
        held, lacking = _BREADTH * self.overall, _BREADTH * (1 - self.overall)
        steps = np.arange(rows + 1)[:, None]
        self._held = gammaln(held + steps) - gammaln(held)
        self._lacking = gammaln(lacking + steps) - gammaln(lacking)
        self._all: Scores = gammaln(_BREADTH + steps[:, 0]) - gammaln(_BREADTH)
        self._labels = np.arange(labels)

    def of(self, first: Integers, last: Integers) -> Scores:
        """Log marginal likelihood of the records `first` to `last - 1`, elementwise."""
        size = last - first
        counts = self.sums[last] - self.sums[first]
        by_label = self._held[counts, self._labels] + self._lacking[size[:, None] - counts, self._labels]
        found: Scores = by_label.sum(axis=1) - len(self._labels) * self._all[size]
        return found

    def best_split(self, first: int, last: int) -> tuple[int, float]:
        """Where to split these records, and by how many nats the evidence for two runs exceeds what is asked of it."""
        middle = np.arange(first + 1, last)
        ends = np.full(len(middle), first), np.full(len(middle), last)
        both = self.of(ends[0], middle) + self.of(middle, ends[1])
        best = int(np.argmax(both))
        whole = float(self.of(np.array([first]), np.array([last]))[0])
        return int(middle[best]), float(both[best]) - whole - float(np.log(self.rows)) - _STRONG


def _split(evidence: _Evidence) -> list[int]:
    """Starts of all runs but the first, increasing, by splitting top down."""
    starts, waiting = [], [(0, evidence.rows)]
    while waiting:
        first, last = waiting.pop()
        if last - first > 1:
            middle, gain = evidence.best_split(first, last)
            if gain > 0:
                starts.append(middle)
                waiting += [(first, middle), (middle, last)]
    return sorted(starts)


def _refined(starts: list[int], evidence: _Evidence) -> list[int]:
    """Move each start to its best place between its neighbours, drop it where it no longer pays, till none moves."""
    for _ in range(_SWEEPS):
        edges = [0, *starts, evidence.rows]
        kept = [0]
        for following in edges[2:]:
            middle, gain = evidence.best_split(kept[-1], following)
            if gain > 0:
                kept.append(middle)
        moved = kept[1:] != starts
        starts = kept[1:]
        if not moved:
            break
    return starts


def _candidates(
    numbers: Scores, targets: Mask, window: tuple[int, int], before: Scores, after: Scores
) -> tuple[Scores, Scores]:
    """Numbers at which a run may start and their log-likelihoods, with the rates on either side given."""
    first, last = window
    rows = targets[first:last]
    step = np.where(rows, np.log(before / after), np.log((1 - before) / (1 - after))).sum(axis=1)
    fit = np.append(0.0, np.cumsum(step))
    places, fits = [], []
    for cut in np.flatnonzero(fit > fit.max() - _UNLIKELY):
        low, high = numbers[first + cut - 1], numbers[first + cut]
        inside = np.rint(np.linspace(low, high, min(int(high - low), _GAP_PLACES) + 1)[1:])
        places.append(inside)
        fits.append(np.full(len(inside), fit[cut] + np.log((high - low) / len(inside))))
    return np.concatenate(places), np.concatenate(fits)


def _chances(places: list[Scores], fits: list[Scores]) -> list[Scores]:
    """Posterior of each start: each one's fit, and a prior of the lengths between them learnt from the other runs."""
    if not places:
        return []
    lengths = [following[None, :] - here[:, None] for here, following in itertools.pairwise(places)]
    allowed = [np.where(length > 0, 0.0, -np.inf) for length in lengths]
    chances, pairs = _forward_backward(fits, allowed)
    if not lengths:
        return chances
    # Far apart, numbers have millions of lengths between them, and each run but a few hundred: all of its own alone.
    kinds = np.unique(np.concatenate([np.unique(length) for length in lengths]))
    parts = [_Lengths.of(length, kinds) for length in lengths]
    for _ in range(_LENGTH_ROUNDS):
        own = [part.sums(pair) for part, pair in zip(parts, pairs, strict=True)]
        whole = np.zeros(len(kinds))
        for part, mine in zip(parts, own, strict=True):
            whole[part.places] += mine
        whole += _FLAT_RUNS / len(kinds)
        priors = [
            np.log(whole[part.places] - mine)[part.of_pair] + allow
            for part, mine, allow in zip(parts, own, allowed, strict=True)
        ]
        chances, pairs = _forward_backward(fits, priors)
    return chances


@dataclass(frozen=True)
class _Lengths:
    """The lengths that one run may have: their places among those of all runs, and which each pair of starts means."""

    places: Integers
    of_pair: Integers

    @classmethod
    def of(cls, lengths: Scores, kinds: Scores) -> "_Lengths":
        own, of_pair = np.unique(lengths, return_inverse=True)
        return cls(np.searchsorted(kinds, own), of_pair.reshape(lengths.shape))

    def sums(self, pairs: Scores) -> Scores:
        """The chance of each length: the sum over the pairs of starts that are so far apart."""
        return np.asarray(np.bincount(self.of_pair.ravel(), pairs.ravel(), len(self.places)), dtype=np.float64)


def _forward_backward(fits: list[Scores], links: list[Scores]) -> tuple[list[Scores], list[Scores]]:
    """Posteriors of the places of each start, and of each pair of adjacent starts."""
    forward, backward = [fits[0]], [np.zeros(len(fits[-1]))]
    for fit, link in zip(fits[1:], links, strict=True):
        forward.append(fit + logsumexp(forward[-1][:, None] + link, axis=0))
    for fit, link in zip(fits[:0:-1], links[::-1], strict=True):
        backward.append(logsumexp(link + fit + backward[-1], axis=1))
    backward.reverse()
    total = logsumexp(forward[-1])
    single = [np.exp(ahead + behind - total) for ahead, behind in zip(forward, backward, strict=True)]
    pairs = [
        np.exp(ahead[:, None] + link + fit + behind - total)
        for ahead, link, fit, behind in zip(forward[:-1], links, fits[1:], backward[1:], strict=True)
    ]
    return single, pairs
