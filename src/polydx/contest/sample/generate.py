"""Records of the sample contest, with the hidden facts behind each."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from polydx.contest.sample import background, mess
from polydx.contest.sample.diagnoses import knowledge
from polydx.contest.sample.evidence import Evidence
from polydx.contest.sample.facts import Fact, Knowledge, Section
from polydx.contest.sample.frequencies import OFFICIAL_COUNTS
from polydx.contest.sample.misleading import mislead
from polydx.contest.sample.plan import Case, lone_unofficial_records, number_records, plan_cases
from polydx.contest.sample.writing import Writer

Part = Literal["train", "test", "unlabelled"]
Record = dict[str, str | int | list[str] | None]

MIN_CHARACTERS, MAX_CHARACTERS = 75, 2229
"""Length of the shortest and the longest whole record: its five texts together."""
MEDIAN_CHARACTERS = 335
LENGTH_SPREAD = 0.55
"""Standard deviation of the logarithm of the length aimed at."""
SHORTEST_AIM, LONGEST_AIM = 70, 2130
DUPLICATE_SHARE = 0.03
SHORTEST_REPEATED = 300
OWN_COMPLAINT = 0.15
"""Share of chief complaints that come from the group of another diagnosis of the patient."""
FACT_SHARE = 0.3
"""Share of a record's text that states facts."""
CHARACTERS_A_FACT = 13
"""About how much text a fact takes."""
SECTIONS: tuple[Section, ...] = ("present", "past", "exam", "tests")
COLUMNS: dict[str, str] = {
    "chief": "chief_complaint",
    "present": "history_of_present_illness",
    "past": "past_history",
    "exam": "physical_examination",
    "tests": "supplementary_examination",
}


@dataclass(frozen=True)
class Hidden:
    """A record with what lies behind it.

    Attributes:
        record: The record as files show it, short of its diagnoses.
        part: The part it belongs to.
        case: The patient and today's diagnoses, unofficial ones included.
        facts: What the record's text states.
        copy_of: Id of the record that it nearly repeats, or None.
    """

    record: Record
    part: Part
    case: Case
    facts: tuple[Fact, ...]
    copy_of: str | None

    @property
    def emr_id(self) -> str:
        """The record's id."""
        return str(self.record["emr_id"])

    @property
    def characters(self) -> int:
        """Length of its five texts together."""
        return sum(len(str(self.record[column] or "")) for column in COLUMNS.values())

    def official_labels(self) -> list[str]:
        """Today's official diagnoses, in official order."""
        return [name for name in OFFICIAL_COUNTS if name in self.case.labels]


@dataclass(frozen=True)
class Sample:
    """The sample contest: records in each part's order, and the tables behind them."""

    records: tuple[Hidden, ...]
    knowledge: Knowledge

    def part(self, name: Part) -> list[Hidden]:
        """Records of one part."""
        return [hidden for hidden in self.records if hidden.part == name]


@dataclass(frozen=True)
class _Draft:
    """A record before it has its number and its spelling."""

    part: Part
    case: Case
    facts: tuple[Fact, ...]
    texts: dict[str, str | None]
    source: int | None = None


def generate(train: int, test: int, unlabelled: int, seed: int) -> Sample:
    """Generate the sample contest; the same arguments give the same records.

    Args:
        train: Labelled records.
        test: Records to predict.
        unlabelled: Further records.
        seed: Seed of everything drawn.

    Raises:
        ValueError: A part has no record.
    """
    if min(train, test, unlabelled) < 1:
        raise ValueError("every part of the sample contest has at least one record")
    draw, tables = Random(seed), knowledge()
    drafts: list[_Draft] = []
    copies: Counter[Part] = Counter()
    sizes: dict[Part, int] = {"train": train, "test": test, "unlabelled": unlabelled}
    for part, records in sizes.items():
        copies[part] = min(records - 1, round(records * DUPLICATE_SHARE))
        lone = lone_unofficial_records(records) if part == "train" else 0
        cases = plan_cases(draw, tables, records - copies[part], lone_unofficial=lone)
        drafts += [_draft(draw, tables, part, case) for case in cases]
    originals = [index for index, draft in enumerate(drafts) if _is_repeatable(draft)]
    for part, number in copies.items():
        drafts += [_copy(draw, drafts, part, draw.choice(originals or [0])) for _ in range(number)]
    return _finish(draw, tables, drafts)


def _draft(draw: Random, tables: Knowledge, part: Part, case: Case) -> _Draft:
    """Write one record, again and again until its length is in bounds."""
    while True:
        aim = round(math.exp(draw.gauss(math.log(MEDIAN_CHARACTERS), LENGTH_SPREAD)))
        aim = min(max(aim, SHORTEST_AIM), LONGEST_AIM)
        facts = choose_facts(draw, tables, case, aim)
        untidiness = draw.choice((0.0, 0.0, 0.3, 0.5, 1.0))
        texts = _texts(draw, tables, case, facts, aim)
        written = tuple(fact for fact in facts if texts[fact.section] is not None)
        spelled = {
            name: text if text is None else mess.untidy(draw, name, text, untidiness) for name, text in texts.items()
        }
        if _length(texts) >= MIN_CHARACTERS + 5 and _length(spelled) <= MAX_CHARACTERS - 60:
            return _Draft(part, case, written, spelled)


def choose_facts(draw: Random, tables: Knowledge, case: Case, characters: int) -> list[Fact]:
    """Choose the facts of a record of about `characters`; the rules infer exactly the case's diagnoses from them."""
    evidence = Evidence(draw, tables, case)
    for label in case.labels:
        evidence.establish(label)
    wanted = max(len(evidence.facts) + 1, round(characters * FACT_SHARE / CHARACTERS_A_FACT))
    for _ in range(10 * wanted):
        if len(evidence.facts) >= wanted:
            break
        mislead(evidence)
    return evidence.facts


def _length(texts: dict[str, str | None]) -> int:
    return sum(len(text) for text in texts.values() if text is not None)


def _texts(draw: Random, tables: Knowledge, case: Case, facts: Sequence[Fact], aim: int) -> dict[str, str | None]:
    """Write all sections; None for one that is left out."""
    writer = Writer(draw, tables)
    group = tables.group_of[case.labels[0]]
    if draw.random() < OWN_COMPLAINT:
        group = tables.group_of[draw.choice(case.labels)]
    complaint, lasted = draw.choice(group.complaints), background.span(draw)
    sentences: dict[Section, list[str]] = {}
    for section in SECTIONS:
        decisive = any(fact.section == section and fact.status == "present" for fact in facts)
        if mess.drops_section(draw, section, decisive=decisive):
            continue
        sentences[section] = writer.sentences(section, facts)
    sentences["present"].insert(0, background.onset(draw, complaint, lasted, case.patient))
    chief = background.chief_complaint(draw, complaint, lasted)
    _fill_up(draw, sentences, aim - len(chief), background.course(draw, group))
    texts: dict[str, str | None] = {"chief": chief + draw.choice(("", "。"))}
    for section in SECTIONS:
        texts[section] = _join(draw, sentences[section]) if sentences.get(section) else None
    return texts


def _fill_up(draw: Random, sentences: dict[Section, list[str]], characters: int, course: str) -> None:
    """Put routine sentences between the others until the record has about `characters`."""
    routine = [(section, text) for section in sentences for text in background.ROUTINE[section]]
    if "exam" in sentences:
        routine.append(("exam", background.vital_signs(draw)))
    if "tests" in sentences:
        routine += [("tests", background.routine_values(draw)) for _ in range(2 + characters // 150)]
    draw.shuffle(routine)
    routine.append(("present", course))
    length = sum(len(text) + 1 for texts in sentences.values() for text in texts)
    while routine and length < characters:
        section, text = routine.pop()
        place = draw.randint(min(1, len(sentences[section])), len(sentences[section]))
        sentences[section].insert(place, text)
        length += len(text) + 1


def _join(draw: Random, sentences: Sequence[str]) -> str:
    joined = sentences[0]
    for sentence in sentences[1:]:
        joined += draw.choice(("。", "。", "，", "；")) + sentence
    return joined + draw.choice(("。", "。", ""))


def _is_repeatable(draft: _Draft) -> bool:
    """Whether a record may be repeated in any part: it has an official label and text enough to stay recognisable."""
    return any(label in OFFICIAL_COUNTS for label in draft.case.labels) and _length(draft.texts) >= SHORTEST_REPEATED


def _copy(draw: Random, drafts: Sequence[_Draft], part: Part, source: int) -> _Draft:
    """Repeat a record with another chief complaint's ending and other marks, as a second note of the same stay."""
    original = drafts[source]
    texts = dict(original.texts)
    texts["chief"] = (texts["chief"] or "").rstrip("。") + draw.choice(("。", "余。", "，再发", "", " "))
    longest = max((name for name in texts if texts[name]), key=lambda name: len(texts[name] or ""))
    texts[longest] = (texts[longest] or "").rstrip("。") + draw.choice(("，余同前。", "。同前。", "，详见前次记录。"))
    return replace(original, part=part, texts=texts, source=source)


def _finish(draw: Random, tables: Knowledge, drafts: Sequence[_Draft]) -> Sample:
    """Number the records and spell what is left."""
    numbers = number_records(draw, tables, [draft.case.labels[0] for draft in drafts])
    records = []
    for number, draft in zip(numbers, drafts, strict=True):
        record: Record = {
            "emr_id": number,
            "age": mess.spell_age(draw, draft.case.patient),
            "gender": mess.spell_sex(draw, draft.case.patient),
        }
        for name, column in COLUMNS.items():
            text = draft.texts[name]
            record[column] = mess.placeholder(draw) if text is None else text
        copy_of = None if draft.source is None else numbers[draft.source]
        records.append(Hidden(record, draft.part, draft.case, draft.facts, copy_of))
    draw.shuffle(records)
    return Sample(tuple(records), tables)
