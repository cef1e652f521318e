import json
import re
from collections import Counter
from itertools import combinations, pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
from scipy.stats import spearmanr

from polydx.contest.sample import Hidden, Sample, generate, write_sample
from polydx.contest.sample.diagnoses import knowledge
from polydx.contest.sample.facts import Fact, Patient
from polydx.contest.sample.files import FILES
from polydx.contest.sample.frequencies import COUNTS, OFFICIAL_COUNTS, UNOFFICIAL_COUNTS, lifts, pair_counts
from polydx.contest.sample.generate import COLUMNS, MAX_CHARACTERS, MIN_CHARACTERS
from polydx.contest.sample.mess import HEADINGS, PLACEHOLDERS
from polydx.contest.sample.plan import quotas
from polydx.errors import UserError
from polydx.judge.metrics import macro_f1
from polydx.text.demographics import parse_age, parse_sex

SIZES = {"train": 1500, "test": 500, "unlabelled": 1000}
TABLES = knowledge()


@pytest.fixture(scope="module")
def sample() -> Sample:
    return generate(*SIZES.values(), seed=0)


def texts(hidden: Hidden) -> list[str]:
    return [str(hidden.record[column] or "") for column in COLUMNS.values()]


def decisions(label_sets: list[set[str]]) -> np.ndarray:
    return np.array([[name in labels for name in OFFICIAL_COUNTS] for labels in label_sets])


def shingles(text: str) -> set[str]:
    return {text[start : start + 5] for start in range(len(text) - 4)}


def number(hidden: Hidden) -> int:
    return int(hidden.emr_id.removeprefix("ZY"))


def test_files_hold_the_schema_and_no_hidden_fact(tmp_path: Path) -> None:
    folder = tmp_path / "sample"
    write_sample(folder, 60, 20, 20, 0)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    columns = ["emr_id", "age", "gender", *COLUMNS.values()]
    parts = {name: json.loads((folder / f"{name}.json").read_text("utf-8")) for name in SIZES}
    assert [len(records) for records in parts.values()] == [60, 20, 20]
    assert all(list(record) == [*columns, "diagnosis"] for record in parts["train"])
    assert all(list(record) == columns for name in ("test", "unlabelled") for record in parts[name])
    ids = [record["emr_id"] for records in parts.values() for record in records]
    assert len(set(ids)) == 100 and all(re.fullmatch(r"ZY\d{6}", name) for name in ids)
    assert all(record["diagnosis"] and set(record["diagnosis"]) <= set(COUNTS) for record in parts["train"])
    assert (folder / "labels.txt").read_text("utf-8").split() == list(OFFICIAL_COUNTS)
    truth = json.loads((folder / "truth.json").read_text("utf-8"))
    assert list(truth) == [record["emr_id"] for record in parts["test"]]
    assert all(labels and set(labels) <= set(OFFICIAL_COUNTS) for labels in truth.values())


def test_same_arguments_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        write_sample(tmp_path / name, 80, 30, 30, seed)
    for name in FILES:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert (tmp_path / "first/train.json").read_bytes() != (tmp_path / "other/train.json").read_bytes()


def test_an_earlier_sample_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "sample"
    write_sample(folder, 5, 5, 5, 0)
    write_sample(folder, 7, 5, 5, 0)
    assert len(json.loads((folder / "train.json").read_text("utf-8"))) == 7
    (folder / "precious.txt").write_text("kept")
    with pytest.raises(UserError, match="no sample contest"):
        write_sample(folder, 5, 5, 5, 0)
    assert (folder / "precious.txt").read_text() == "kept"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 1, 3), (60, 20, 20)])
def test_any_size_works(size: tuple[int, int, int]) -> None:
    made = generate(*size, seed=1)
    assert tuple(len(made.part(name)) for name in ("train", "test", "unlabelled")) == size
    assert all(hidden.official_labels() for hidden in made.part("test"))


def test_a_small_training_part_has_every_official_label() -> None:
    labels = {name for hidden in generate(60, 20, 20, seed=0).part("train") for name in hidden.case.labels}
    assert len(labels.intersection(OFFICIAL_COUNTS)) >= 48


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        generate(10, 0, 10, seed=0)


def test_lengths(sample: Sample) -> None:
    lengths = [sum(map(len, texts(hidden))) for hidden in sample.records]
    assert lengths == [hidden.characters for hidden in sample.records]
    assert MIN_CHARACTERS == 75 <= min(lengths) < 100
    assert 1500 < max(lengths) <= MAX_CHARACTERS == 2229
    assert 300 <= np.median(lengths) <= 400


def test_counts_follow_the_contest(sample: Sample) -> None:
    for part, least in (("train", 6), ("test", 2)):
        counts = Counter(label for hidden in sample.part(part) for label in hidden.case.labels)
        assert min(counts[name] for name in OFFICIAL_COUNTS) >= least
        assert len(set(counts).intersection(UNOFFICIAL_COUNTS)) >= 5, part
        assert spearmanr(list(COUNTS.values()), [counts[name] for name in COUNTS]).statistic > 0.97
    sizes = [len(hidden.case.labels) for hidden in sample.records]
    assert 2.0 < np.mean(sizes) < 2.4
    assert 7 <= max(sizes) <= 9
    lone = [hidden for hidden in sample.part("train") if not hidden.official_labels()]
    assert len(lone) >= 1 and all(set(hidden.case.labels) <= set(UNOFFICIAL_COUNTS) for hidden in lone)


def test_strong_pairs_stay_strong(sample: Sample) -> None:
    sets = [set(hidden.case.labels) for hidden in sample.records]
    alone = Counter(name for labels in sets for name in labels)
    pairs = Counter(frozenset(pair) for labels in sets for pair in combinations(labels, 2))
    real = lifts()
    frequent = [pair for pair, count in pair_counts().items() if count >= 200]
    made = [pairs[pair] * len(sets) / (alone[a] * alone[b]) for pair in frequent for a, b in [tuple(pair)]]
    assert len(frequent) > 20
    assert spearmanr(made, [real[pair] for pair in frequent]).statistic > 0.6


def test_sexes_and_ages_fit(sample: Sample) -> None:
    restricted = 0
    for hidden in sample.records:
        for label in hidden.case.labels:
            diagnosis = sample.knowledge.diagnoses[label]
            assert diagnosis.befalls(hidden.case.patient)
            restricted += diagnosis.sex is not None
        age, _ = parse_age(None if hidden.record["age"] is None else str(hidden.record["age"]))
        assert age is None or abs(age - hidden.case.patient.age_days / 365) < 1.1
        sex, _ = parse_sex(hidden.record["gender"])
        assert sex in (None, hidden.case.patient.sex)
    assert restricted > 150


def test_every_kind_of_mess_occurs(sample: Sample) -> None:
    joined = ["\n".join(texts(hidden)) for hidden in sample.records]
    ages = [hidden.record["age"] for hidden in sample.records]
    spelled = [str(age) for age in ages]
    fields = [hidden.record[column] for hidden in sample.records for column in COLUMNS.values()]
    found = {
        "heading": sum(any(text.startswith(HEADINGS["chief"]) for text in texts(hidden)) for hidden in sample.records),
        "html": sum(bool(re.search(r"<br/?>|</?p>|&nbsp;", text)) for text in joined),
        "blanks": sum("\u3000" in text or "  " in text or "\t" in text for text in joined),
        "full width": sum(bool(re.search(r"[０-９]", text)) for text in joined),
        "half-width marks": sum(bool(re.search(r"[\u4e00-\u9fff][,;][\u4e00-\u9fff]", text)) for text in joined),
        "units": sum("×10^9/L" in text for text in joined),
        "degrees": sum("℃" in text for text in joined),
        "pressure": sum("mmHg" in text for text in joined),
        "denied": sum("否认" in text for text in joined),
        "family": sum("父亲" in text or "其母" in text for text in joined),
        "age as a number": sum(isinstance(age, int) for age in ages),
        "age Y48": sum(bool(re.fullmatch(r"Y\d+", age)) for age in spelled),
        "age 3岁4月": sum(bool(re.fullmatch(r"\d岁\d+月", age)) for age in spelled),
        "age in full width": sum(bool(re.search(r"[０-９]", age)) for age in spelled),
        "age missing": sum(not age or age == "暂缺" for age in ages),
    }
    assert {kind: count for kind, count in found.items() if count < 10} == {}
    of_babies = [age for age in spelled if re.fullmatch(r"M\d+|\d+个?月|\d+[天日]|D\d+", age)]
    assert len(of_babies) >= 10
    for placeholder in PLACEHOLDERS:
        assert fields.count(placeholder) >= 10
    for sex in ("男", "男性", "女", "女性"):
        assert [hidden.record["gender"] for hidden in sample.records].count(sex) >= 10
    untouched = [text for text in joined if not re.search(r"[<&０-９]|\s\s|：.*：", text)]
    assert len(untouched) > 100


def test_oracle_reads_the_diagnoses_from_the_facts(sample: Sample) -> None:
    test = sample.part("test")
    inferred = [TABLES.infer(hidden.facts, hidden.case.patient) for hidden in test]
    score = macro_f1(decisions(inferred), decisions([set(hidden.case.labels) for hidden in test]))
    assert 0.95 < score <= 1.0
    assert all(labels <= set(hidden.case.labels) for labels, hidden in zip(inferred, test, strict=True))


def test_most_facts_are_no_evidence(sample: Sample) -> None:
    facts = [fact for hidden in sample.records for fact in hidden.facts]
    statuses = Counter(fact.status for fact in facts)
    subjects = Counter(fact.subject for fact in facts)
    assert statuses["absent"] + statuses["over"] > 0.3 * len(facts)
    assert min(statuses["absent"], statuses["over"]) > 1000
    assert min(subjects["family"], subjects["contact"]) > 100
    assert not sample.knowledge.infer(
        [fact for fact in facts if fact.status != "present" or fact.subject != "patient"], Patient("male", 20_000)
    )


@pytest.mark.parametrize(
    ("facts", "patient", "expected"),
    [
        ([Fact("血压", "exam", value=(138, 90))], Patient("male", 20_000), {"高血压"}),
        ([Fact("血压", "exam", value=(138, 88))], Patient("male", 20_000), set()),
        ([Fact("血压", "past", "over", value=(168, 98))], Patient("male", 20_000), set()),
        ([Fact("血红蛋白", "tests", value=(115,))], Patient("male", 20_000), {"贫血"}),
        ([Fact("血红蛋白", "tests", value=(115,))], Patient("female", 20_000), set()),
        ([Fact("高血压", "past", subject="family")], Patient("male", 20_000), set()),
        ([Fact("高血压", "past", "absent")], Patient("male", 20_000), set()),
        ([Fact("扁桃体肿大", "exam")], Patient("female", 3_000), set()),
        ([Fact("扁桃体肿大", "exam"), Fact("扁桃体脓点", "exam")], Patient("female", 3_000), {"急性扁桃体炎"}),
    ],
)
def test_rules_by_hand(facts: list[Fact], patient: Patient, expected: set[str]) -> None:
    assert TABLES.infer(facts, patient) == expected


def test_near_duplicates_lie_within_and_across_parts(sample: Sample) -> None:
    by_id = {hidden.emr_id: hidden for hidden in sample.records}
    copies = [(hidden, by_id[hidden.copy_of]) for hidden in sample.records if hidden.copy_of is not None]
    assert 0.02 * len(sample.records) < len(copies) < 0.05 * len(sample.records)
    parts = Counter((copy.part, source.part) for copy, source in copies)
    assert min(parts["train", "train"], parts["test", "train"]) >= 3
    for copy, source in copies:
        assert texts(copy) != texts(source)
        assert copy.case == source.case
        first, second = (shingles("\n".join(texts(hidden))) for hidden in (copy, source))
        assert len(first & second) / len(first | second) > 0.85


def test_neighbours_by_number_share_diagnoses(sample: Sample) -> None:
    ordered = sorted(sample.records, key=number)
    shuffled = Random(0).sample(ordered, len(ordered))
    shares = [
        np.mean([bool(set(a.case.labels) & set(b.case.labels)) for a, b in pairwise(records)])
        for records in (ordered, shuffled)
    ]
    assert shares[0] > shares[1] + 0.15
    assert sum(a.part != b.part for a, b in pairwise(ordered)) > 0.4 * len(ordered)


def test_quotas_deal_every_slot() -> None:
    for slots, records in ((1, 1), (30, 20), (131, 60), (3285, 1500)):
        dealt = quotas(slots, records)
        assert sum(dealt.values()) == slots and min(dealt.values()) >= 0


def test_tables_are_complete() -> None:
    assert set(TABLES.diagnoses) == set(COUNTS)
    assert len(OFFICIAL_COUNTS) == 52 and len(UNOFFICIAL_COUNTS) == 7
    evidence = {name for diagnosis in TABLES.diagnoses.values() for name in diagnosis.evidence()}
    assert evidence == set(TABLES.findings) | set(TABLES.measures)
    assert all(pair <= set(COUNTS) for pair in pair_counts())
    for names in combinations((TABLES.diagnoses, TABLES.findings, TABLES.measures), 2):
        assert not set(names[0]) & set(names[1])
