"""Facts that look like evidence and are none: what makes the sample contest hard.

A finding and a disease's name occur about as often denied, over, somebody else's or short of a second finding as they
establish a diagnosis, and values are more often normal than abnormal. Each function returns a few facts, or none where
none fits.
"""

from collections.abc import Callable
from types import MappingProxyType

from polydx.contest.sample.evidence import Evidence
from polydx.contest.sample.facts import Diagnosis, Fact, Finding, Section
from polydx.contest.sample.frequencies import COUNTS

SAME_GROUP = 0.55
"""Share of false evidence that speaks for a diagnosis of the patient's own groups."""
RARITY = 0.75
"""Power of a diagnosis's count that false evidence of it is drawn by."""

_RULED_OUT_IN: tuple[Section, ...] = ("present", "tests")
_PAST_IN: tuple[Section, ...] = ("past", "past", "present")


def mislead(evidence: Evidence) -> bool:
    """Try to add facts of one kind to the record; return whether it did."""
    kind = evidence.draw.choices(list(_KINDS), list(_KINDS.values()))[0]
    return evidence.add(kind(evidence))


def _suspects(evidence: Evidence, most: int) -> list[Diagnosis]:
    """One to `most` diagnoses that are not today's, often ones that are easily taken for the patient's."""
    drawn: dict[str, Diagnosis] = {}
    for _ in range(evidence.draw.randint(1, most)):
        names = list(COUNTS)
        if evidence.draw.random() < SAME_GROUP:
            group = evidence.knowledge.group_of[evidence.draw.choice(evidence.case.labels)]
            names = [diagnosis.name for diagnosis in group.diagnoses]
        name = evidence.draw.choices(names, [COUNTS[name] ** RARITY for name in names])[0]
        drawn[name] = evidence.knowledge.diagnoses[name]
    return [suspect for name, suspect in drawn.items() if name not in evidence.case.labels]


def _names(evidence: Evidence, most: int) -> list[str]:
    sex = evidence.case.patient.sex
    return [suspect.name for suspect in _suspects(evidence, most) if suspect.sex in (None, sex)]


def _denied_names(evidence: Evidence) -> list[Fact]:
    return [Fact(name, "past", "absent") for name in _names(evidence, 5)]


def _ruled_out_names(evidence: Evidence) -> list[Fact]:
    section = evidence.draw.choice(_RULED_OUT_IN)
    return [Fact(name, section, "absent") for name in _names(evidence, 3)]


def _past_names(evidence: Evidence) -> list[Fact]:
    section = evidence.draw.choice(_PAST_IN)
    return [Fact(name, section, "over") for name in _names(evidence, 2)]


def _others_names(evidence: Evidence) -> list[Fact]:
    """Diseases of the family, or of somebody the patient met."""
    names = [suspect.name for suspect in _suspects(evidence, 2) if suspect.sex is None]
    if evidence.draw.random() < 0.3:
        return [Fact(name, "present", subject="contact") for name in names[:1]]
    return [Fact(name, "past", subject="family") for name in names]


def _findings(evidence: Evidence) -> list[Finding]:
    """Findings not mentioned yet that would speak for some suspect and for none of today's diagnoses."""
    own = {name for label in evidence.case.labels for name in evidence.knowledge.diagnoses[label].evidence()}
    suspects = [suspect for suspect in _suspects(evidence, 2) if suspect.befalls(evidence.case.patient)]
    names = dict.fromkeys(name for suspect in suspects for name in suspect.evidence())
    findings = evidence.knowledge.findings
    return [findings[name] for name in names if name in findings and name not in own | evidence.mentioned]


def _absent_findings(evidence: Evidence) -> list[Fact]:
    """Up to three findings of one site, all absent."""
    findings = _findings(evidence)
    if not findings:
        return []
    first = evidence.draw.choice(findings)
    same = [other for other in findings if (other.site, other.form) == (first.site, first.form)]
    chosen = evidence.draw.sample(same, min(len(same), evidence.draw.randint(1, 3)))
    return evidence.placed([Fact(finding.name, finding.section, "absent") for finding in chosen])


def _lonely_finding(evidence: Evidence) -> list[Fact]:
    """One finding that is there, of a criterion that needs more."""
    findings = [finding for finding in _findings(evidence) if finding.form != "drug"]
    return [evidence.affirmed(evidence.draw.choice(findings).name)] if findings else []


def _past_finding(evidence: Evidence) -> list[Fact]:
    findings = _findings(evidence)
    return [Fact(evidence.draw.choice(findings).name, "past", "over")] if findings else []


def _drugs(evidence: Evidence) -> list[Fact]:
    """A drug that the patient no longer takes, never took, or that somebody else takes."""
    drugs = [finding.name for finding in evidence.knowledge.findings.values() if finding.form == "drug"]
    drug = evidence.draw.choice(drugs)
    kinds = (Fact(drug, "past", "over"), Fact(drug, "past", "absent"), Fact(drug, "past", subject="family"))
    return [evidence.draw.choice(kinds)]


def _measures(evidence: Evidence) -> list[str]:
    """Measures that make sense for the patient."""
    old_man = evidence.case.patient.sex == "male" and evidence.case.patient.age_years >= 40
    return [name for name in evidence.knowledge.measures if name != "前列腺横径" or old_man]


def _normal_values(evidence: Evidence) -> list[Fact]:
    chosen = evidence.draw.sample(_measures(evidence), evidence.draw.randint(1, 2))
    measures = [evidence.knowledge.measures[name] for name in chosen]
    return [Fact(measure.name, measure.section, value=evidence.value(measure, abnormal=False)) for measure in measures]


def _past_value(evidence: Evidence) -> list[Fact]:
    measure = evidence.knowledge.measures[evidence.draw.choice(_measures(evidence))]
    return [Fact(measure.name, "past", "over", value=evidence.value(measure, abnormal=True))]


_KINDS: MappingProxyType[Callable[[Evidence], list[Fact]], float] = MappingProxyType(
    {
        _absent_findings: 5.0,
        _normal_values: 4.0,
        _denied_names: 2.0,
        _lonely_finding: 2.0,
        _past_finding: 1.5,
        _ruled_out_names: 1.2,
        _past_names: 1.2,
        _others_names: 1.0,
        _drugs: 1.1,
        _past_value: 0.8,
    }
)
"""Each kind with how often it is tried."""
