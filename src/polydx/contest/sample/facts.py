"""The hidden facts of a generated record, and the medical rules that turn them into today's diagnoses.

A fact is one thing that a record's text says: a finding, a name of a disease, a drug or a measured value, with the
section it stands in, whether it is there, denied or over, and whose it is. The rules read facts only, so whoever can
read the text well can find the diagnoses.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Sex = Literal["male", "female"]
Section = Literal["present", "past", "exam", "tests"]
"""Where a fact is written: history of present illness, past history, physical or supplementary examination."""
Status = Literal["present", "absent", "over"]
"""There today; denied, not seen or ruled out; there once and gone."""
Subject = Literal["patient", "family", "contact"]
Form = Literal["seen", "heard", "felt", "complained", "sign", "drug", "name", "value"]
"""How a finding is put into words: what is seen, heard, felt, complained of, a sign that is positive or negative, a
drug taken, a disease by its name, a measured value."""

ADULT_YEARS = 15


@dataclass(frozen=True)
class Patient:
    """Who the record is about.

    Attributes:
        sex: The sex.
        age_days: Age in days, at least 1.
    """

    sex: Sex
    age_days: int

    @property
    def age_years(self) -> int:
        """Completed years."""
        return self.age_days // 365


@dataclass(frozen=True)
class Fact:
    """One thing a record says.

    Attributes:
        finding: Name of a finding, measure or diagnosis of the tables.
        section: Where it is written.
        status: Whether it is there today.
        subject: Whose it is.
        value: What was measured, or None.
    """

    finding: str
    section: Section
    status: Status = "present"
    subject: Subject = "patient"
    value: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Finding:
    """Something a doctor may find.

    Attributes:
        name: Its name in the rules.
        section: Where it is usually written.
        site: Part of the body or examination whose findings stand in one clause; "" for complaints and drugs.
        form: How it is put into words.
        phrases: Ways to write it; `{侧}` and `{叶}` stand for a side and a lobe.
    """

    name: str
    section: Section
    site: str
    form: Form
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class Measure:
    """Something measured, with what counts as abnormal.

    Attributes:
        name: Its name in the rules.
        section: Where it is usually written.
        site: As of a finding.
        templates: Ways to write it, one `{}` for each component.
        normal: Range of each component in health.
        abnormal: Range of each component in disease.
        limits: Threshold of each component.
        high: Whether abnormal lies at or above the limits, or below them.
        men_limit: Threshold of grown men, where it differs.
        decimals: Digits after the point.
    """

    name: str
    section: Section
    site: str
    templates: tuple[str, ...]
    normal: tuple[tuple[float, float], ...]
    abnormal: tuple[tuple[float, float], ...]
    limits: tuple[float, ...]
    high: bool = True
    men_limit: float | None = None
    decimals: int = 1

    def thresholds(self, patient: Patient) -> tuple[float, ...]:
        """The limits that hold for this patient."""
        if self.men_limit is not None and patient.sex == "male" and patient.age_years >= ADULT_YEARS:
            return (self.men_limit,)
        return self.limits

    def is_abnormal(self, value: Sequence[float], patient: Patient) -> bool:
        """Whether any component passes its limit."""
        pairs = zip(value, self.thresholds(patient), strict=True)
        return any(part >= limit if self.high else part < limit for part, limit in pairs)


@dataclass(frozen=True)
class Diagnosis:
    """One diagnosis and the evidence that establishes it.

    Attributes:
        name: The label.
        ages: Ranges of ages in years (from, up to and including) in which it occurs.
        aliases: How records name it.
        criteria: Sets of findings or abnormal measures, each of which suffices when all of it is there today.
        sex: The only sex it occurs in, or None.
    """

    name: str
    ages: tuple[tuple[int, int], ...]
    aliases: tuple[str, ...]
    criteria: tuple[tuple[str, ...], ...]
    sex: Sex | None = None

    def evidence(self) -> list[str]:
        """Names of the findings and measures in its criteria."""
        return list(dict.fromkeys(name for criterion in self.criteria for name in criterion))

    def befalls(self, patient: Patient) -> bool:
        """Whether a patient of this sex and age may have it."""
        fits_age = any(youngest <= patient.age_years <= oldest for youngest, oldest in self.ages)
        return fits_age and self.sex in (None, patient.sex)


@dataclass(frozen=True)
class Group:
    """Diagnoses that are easily taken for one another.

    Attributes:
        department: Where its patients lie.
        complaints: Chief complaints that any of its diagnoses may bring.
        courses: What else the patients tell; decides nothing.
        diagnoses: Its diagnoses.
    """

    department: str
    complaints: tuple[str, ...]
    courses: tuple[str, ...]
    diagnoses: tuple[Diagnosis, ...]


@dataclass(frozen=True)
class Knowledge:
    """The tables of diagnoses, findings and measures, by name.

    Attributes:
        diagnoses: Every diagnosis.
        findings: Every finding.
        measures: Every measure.
        group_of: The group of every diagnosis.
    """

    diagnoses: dict[str, Diagnosis]
    findings: dict[str, Finding]
    measures: dict[str, Measure]
    group_of: dict[str, Group]

    def infer(self, facts: Iterable[Fact], patient: Patient) -> set[str]:
        """Return today's diagnoses of `patient`, by the rules."""
        return self.conclude(self.active(facts, patient))

    def active(self, facts: Iterable[Fact], patient: Patient) -> set[str]:
        """Return what the patient has today: findings, diseases named as today's, and measures that are abnormal."""
        return {fact.finding for fact in facts if self._is_active(fact, patient)}

    def conclude(self, active: set[str]) -> set[str]:
        """Return the diagnoses that are named, and those with a criterion met in full."""
        return {
            name
            for name, diagnosis in self.diagnoses.items()
            if name in active or any(active.issuperset(criterion) for criterion in diagnosis.criteria)
        }

    def _is_active(self, fact: Fact, patient: Patient) -> bool:
        if fact.status != "present" or fact.subject != "patient":
            return False
        return fact.value is None or self.measures[fact.finding].is_abnormal(fact.value, patient)
