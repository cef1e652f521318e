"""Who the records are about: label sets with the contest's counts, patients they fit, and record numbers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from polydx.contest.sample.facts import Diagnosis, Knowledge, Patient, Sex
from polydx.contest.sample.frequencies import (
    COUNTS,
    OFFICIAL_COUNTS,
    RECORDS,
    SIZES,
    UNOFFICIAL_COUNTS,
    UNOFFICIAL_ONLY,
    lifts,
)

MIN_POSITIVES = 8
"""Training records that every official label gets at 1,500 records, so that folds can be cut: up to four times the
share of the rarest. Smaller parts get one for every 180 records, at least one."""
UNOFFICIAL_FROM = 400
"""Records from which on every unofficial label occurs."""
DAYS_A_YEAR = 365
SEXES: tuple[Sex, Sex] = ("male", "female")
NUMBER_NOISE = 1.0
"""Standard deviation of a record's place, in diagnoses of the wards' order."""
STRAY_SHARE = 0.06
"""Patients who lie in any ward."""


@dataclass(frozen=True)
class Case:
    """A patient with today's diagnoses, the principal one first."""

    patient: Patient
    labels: tuple[str, ...]


def plan_cases(draw: Random, knowledge: Knowledge, records: int, *, lone_unofficial: int) -> list[Case]:
    """Plan the cases of one part, in random order.

    Labels are dealt from quotas with the contest's relative counts, so that these hold almost exactly; each case's
    labels are drawn by what is left of the quotas times how strongly they go with the labels it has.

    Args:
        draw: Source of chance.
        knowledge: The tables.
        records: How many cases.
        lone_unofficial: How many of them have unofficial labels only.
    """
    sizes = sorted(draw.choices(list(SIZES), list(SIZES.values()), k=records - lone_unofficial))
    draw.shuffle(sizes)
    left = quotas(sum(sizes), records)
    alone = draw.choices(list(UNOFFICIAL_COUNTS), list(UNOFFICIAL_COUNTS.values()), k=lone_unofficial)
    lift = lifts()
    cases = [_case(draw, knowledge, name, 1, left, lift) for name in alone]
    for size, principal in zip(sizes, _principals(draw, left, len(sizes)), strict=True):
        cases.append(_case(draw, knowledge, principal, size, left, lift))
    draw.shuffle(cases)
    return cases


def lone_unofficial_records(records: int) -> int:
    """How many training records have unofficial labels only: the contest's share, at least one of 50 records."""
    return max(round(records * UNOFFICIAL_ONLY / RECORDS), int(records >= 50))


def quotas(slots: int, records: int) -> dict[str, int]:
    """Deal `slots` to the labels by the contest's counts, with a floor under the rare ones.

    Where the slots don't reach, the frequent labels get theirs first.
    """
    floor = max(1, min(MIN_POSITIVES, records // 180))
    dealt = {}
    free = slots
    for name in sorted(COUNTS, key=lambda name: -COUNTS[name]):
        wanted = floor if name in OFFICIAL_COUNTS else int(records >= UNOFFICIAL_FROM)
        dealt[name] = min(wanted, free)
        free -= dealt[name]
    total = sum(COUNTS.values())
    short = {name: max(0.0, slots * COUNTS[name] / total - dealt[name]) for name in COUNTS}
    scale = free / max(sum(short.values()), 1e-9)
    shares = {name: amount * scale for name, amount in short.items()}
    for name, share in shares.items():
        dealt[name] += math.floor(share)
    rest = free - sum(math.floor(share) for share in shares.values())
    by_remainder = sorted(shares, key=lambda name: math.floor(shares[name]) - shares[name])
    for name in by_remainder[:rest]:
        dealt[name] += 1
    return dealt


def _principals(draw: Random, left: Mapping[str, int], records: int) -> list[str]:
    """Official labels that cases start from: all of the rare ones, so that none is left over, then by quota."""
    official = {name: left[name] for name in OFFICIAL_COUNTS}
    rarest_first = sorted(official, key=lambda name: official[name])
    rare = [name for name in rarest_first if official[name] <= records / 100 + 1 for _ in range(official[name])]
    frequent = [name for name in official if name not in rare and official[name] > 0]
    wanted = max(0, records - len(rare))
    drawn = draw.choices(frequent or list(official), [official[name] for name in frequent] or None, k=wanted)
    return rare[:records] + drawn


def _case(
    draw: Random,
    knowledge: Knowledge,
    principal: str,
    size: int,
    left: dict[str, int],
    lift: Mapping[frozenset[str], float],
) -> Case:
    """Draw one case of up to `size` labels and take them from the quotas in `left`."""
    diagnosis = knowledge.diagnoses[principal]
    youngest, oldest = draw.choice(diagnosis.ages)
    sex, labels = diagnosis.sex, [principal]
    left[principal] = max(0, left[principal] - 1)
    while len(labels) < size:
        fitting = {
            name: overlap
            for name in left
            if left[name] > 0 and name not in labels
            if (overlap := _overlap(knowledge.diagnoses[name], sex, (youngest, oldest))) is not None
        }
        if not fitting:
            break
        weights = [left[name] * math.prod(lift[frozenset((name, label))] for label in labels) for name in fitting]
        name = draw.choices(list(fitting), weights)[0]
        youngest, oldest = fitting[name]
        sex = sex or knowledge.diagnoses[name].sex
        labels.append(name)
        left[name] -= 1
    return Case(Patient(draw.choice(SEXES) if sex is None else sex, _age_days(draw, youngest, oldest)), tuple(labels))


def _overlap(diagnosis: Diagnosis, sex: Sex | None, ages: tuple[int, int]) -> tuple[int, int] | None:
    """Ages of a patient who may have this diagnosis too, or None."""
    if diagnosis.sex is not None and sex is not None and diagnosis.sex != sex:
        return None
    for youngest, oldest in diagnosis.ages:
        low, high = max(youngest, ages[0]), min(oldest, ages[1])
        if low <= high:
            return low, high
    return None


def _age_days(draw: Random, youngest: int, oldest: int) -> int:
    return draw.randint(max(3, youngest * DAYS_A_YEAR), oldest * DAYS_A_YEAR + DAYS_A_YEAR - 1)


def number_records(draw: Random, knowledge: Knowledge, principals: Sequence[str]) -> list[str]:
    """Number records of all parts together, ward by ward, with some noise: `ZY000001` and up, with gaps.

    Args:
        draw: Source of chance.
        knowledge: The tables.
        principals: Principal diagnosis of every record.
    """
    groups = list(dict.fromkeys(knowledge.group_of.values()))
    draw.shuffle(groups)
    wards = [diagnosis.name for group in groups for diagnosis in draw.sample(group.diagnoses, len(group.diagnoses))]
    places = []
    for index, principal in enumerate(principals):
        place = wards.index(principal) + 0.5 + draw.gauss(0.0, NUMBER_NOISE)
        if draw.random() < STRAY_SHARE:
            place = draw.uniform(0.0, len(wards))
        places.append((place, index))
    numbers = [""] * len(places)
    number = 0
    for _, index in sorted(places):
        number += draw.choice((1, 1, 1, 2))
        numbers[index] = f"ZY{number:06d}"
    return numbers
