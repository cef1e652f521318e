"""Which facts a record holds: evidence of today's diagnoses, then much that looks like evidence and is none."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from polydx.contest.sample.facts import Diagnosis, Fact, Knowledge, Measure
from polydx.contest.sample.plan import Case

NAMED = 0.22
"""Share of diagnoses established by their name."""
TWICE = 0.5
"""Share of diagnoses established in two ways."""
ELSEWHERE = 0.1
"""Share of examinations reported in the history of present illness."""
NEAR_LIMIT = 0.35
"""Share of values drawn next to the limit."""
TRIES = 20


class Evidence:
    """The facts of one record in the making.

    Attributes:
        draw: Source of chance.
        knowledge: The tables.
        case: The patient with today's diagnoses.
        facts: What the record states so far; the rules infer none but today's diagnoses from it.
        mentioned: Findings, measures and diagnoses that it speaks of.
    """

    def __init__(self, draw: Random, knowledge: Knowledge, case: Case) -> None:
        self.draw, self.knowledge, self.case = draw, knowledge, case
        self.facts: list[Fact] = []
        self.mentioned: set[str] = set()
        self._active: set[str] = set()

    def add(self, facts: Sequence[Fact]) -> bool:
        """Add facts about what was not mentioned yet, unless another diagnosis would follow; return whether it did."""
        if not facts or self.mentioned.intersection(fact.finding for fact in facts):
            return False
        active = self.knowledge.active(facts, self.case.patient)
        if active and not self.knowledge.conclude(self._active | active).issubset(self.case.labels):
            return False
        self.facts += facts
        self.mentioned.update(fact.finding for fact in facts)
        self._active |= active
        return True

    def establish(self, label: str) -> None:
        """Add evidence of one of today's diagnoses, in one way or two; its name where no other way works out."""
        diagnosis = self.knowledge.diagnoses[label]
        for _ in range(2 if self.draw.random() < TWICE else 1):
            any(self.add(self._one_way(diagnosis)) for _ in range(TRIES))
        if label not in self.knowledge.conclude(self._active):
            self.add([self.affirmed(label)])

    def _one_way(self, diagnosis: Diagnosis) -> list[Fact]:
        if self.draw.random() < NAMED:
            return [self.affirmed(diagnosis.name)]
        criterion = self.draw.choice(diagnosis.criteria)
        return [self.affirmed(name) for name in criterion if name not in self._active]

    def affirmed(self, name: str) -> Fact:
        """A diagnosis, measure or finding that the patient has today."""
        if name in self.knowledge.diagnoses:
            return Fact(name, self.draw.choice(("present", "present", "past", "tests")))
        if name in self.knowledge.measures:
            measure = self.knowledge.measures[name]
            return Fact(name, measure.section, value=self.value(measure, abnormal=True))
        return self.placed([Fact(name, self.knowledge.findings[name].section)])[0]

    def placed(self, facts: Sequence[Fact]) -> list[Fact]:
        """The facts of one examination, now and then in the history of present illness."""
        if facts[0].section in ("exam", "tests") and self.draw.random() < ELSEWHERE:
            return [replace(fact, section="present") for fact in facts]
        return list(facts)

    def value(self, measure: Measure, *, abnormal: bool) -> tuple[float, ...]:
        """Draw a value on the wanted side of the limits that hold for the patient."""
        limits = measure.thresholds(self.case.patient)
        while True:
            near = self.draw.random() < NEAR_LIMIT
            parts = []
            for (low, high), limit in zip(measure.abnormal if abnormal else measure.normal, limits, strict=True):
                if near:
                    low, high = sorted((max(low, limit * 0.9), min(high, limit * 1.1)))
                parts.append(round(self.draw.uniform(low, high), measure.decimals))
            if measure.is_abnormal(parts, self.case.patient) == abnormal:
                return tuple(parts)
