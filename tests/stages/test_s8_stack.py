import json
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from polydx.artifacts import write_array, write_json
from polydx.config import Split, Stack
from polydx.contest.records import read_records
from polydx.ensemble.fusions import FUSIONS
from polydx.ensemble.thresholds import decide
from polydx.errors import UserError
from polydx.judge.folds import read_folds
from polydx.judge.metrics import macro_f1
from polydx.paths import RunPaths
from polydx.stages import s3_split, s8_stack
from polydx.stages.stack_inputs import input_files, read_context, read_inputs

ROWS, TEST_ROWS, LABELS = 160, 30, ["a", "b", "c", "d"]
STACK = Stack(
    candidates=("mean", "weighted", "lightgbm"),
    fuse_student=True,
    calibration="platt",
    record_features=True,
    record_number=False,
    neighbour_widths=(1, 3),
    trees=5,
    early_stopping=0,
    tree_learning_rate=0.1,
    leaves=4,
    min_leaf_rows=10,
    frequent_positives=30,
    thresholds="shrunk",
    threshold_prior=10.0,
    fold_combination="mean",
    min_labels=1,
    max_labels=3,
    bootstrap_samples=100,
)
SPLITS = {
    "stratified": Split(scheme="stratified", folds=3, repeats=1, holdout_share=0.2),
    "repeated": Split(scheme="repeated", folds=4, repeats=2, holdout_share=0.2),
    "holdout": Split(scheme="holdout", folds=3, repeats=1, holdout_share=0.5),
}


def make_run(folder, scheme="stratified", record_numbers=True):
    """A run up to stage 7: two members over two rounds and a student, all of them noisy oracles."""
    paths = RunPaths("r", folder / "runs", folder / "submissions")
    draw = np.random.default_rng(0)
    targets = draw.random((ROWS + TEST_ROWS, 4)) < [0.4, 0.3, 0.2, 0.1]
    train = np.arange(len(targets)) < ROWS
    table = pd.DataFrame(
        {
            "id": [f"r{row}" for row in range(len(targets))],
            "part": np.where(train, "train", "test"),
            "record_number": np.arange(len(targets), dtype=float) if record_numbers else np.nan,
            "age_years": draw.uniform(0, 90, len(targets)),
            "sex": draw.choice(["male", "female"], len(targets)),
            "section_text": ["x" * length for length in draw.integers(0, 50, len(targets))],
            "category_ward": draw.choice(["w1", "w2", None], len(targets)),
            "labels": [
                [name for name, held in zip(LABELS, row, strict=True) if held and known]
                for row, known in zip(targets, train, strict=True)
            ],
            "duplicate_group": np.arange(len(targets)),
        }
    )
    paths.records.parent.mkdir(parents=True)
    table.to_parquet(paths.records, index=False)
    write_json(paths.labels, {"labels": LABELS})
    s3_split.run(paths, SPLITS[scheme], seed=0)
    folds = read_folds(paths.folds)
    for job in range(folds.jobs):
        for number, files in enumerate(
            [paths.fold_model(member, round_, job) for member in ("bert", "tfidf") for round_ in (0, 1)]
            + [paths.student(job)]
        ):
            opinion = 0.5 + 0.4 * (targets - 0.5) + (0.2 + 0.1 * number) * draw.normal(size=targets.shape)
            opinion = np.clip(opinion, 0, 1).astype(np.float32)
            write_array(files.validation, opinion[train][folds.validation(job)])
            write_array(files.test, opinion[~train])
    return paths, targets[~train]


def stack_run(paths, stack=STACK, student=True, cores=1):
    s8_stack.run(paths, stack, ("bert", "tfidf"), 1, student, cores, seed=0)
    return json.loads(paths.ledger.read_text())


def written(paths):
    return {str(path.relative_to(paths.stack)): path.read_bytes() for path in paths.stack.rglob("*") if path.is_file()}


MEMBERS = ["bert.round0", "bert.round1", "tfidf.round0", "tfidf.round1"]
ENTRIES = [*MEMBERS, "student", "mean", "weighted", "lightgbm", "final"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    paths, truth = make_run(tmp_path_factory.mktemp("run"))
    return paths, truth, stack_run(paths)


def test_the_exact_set_of_files(finished):
    paths, _, _ = finished
    decisions = {f"decisions/{entry}/{part}.npy" for entry in ENTRIES for part in ("oof", "test")}
    tops = {"ledger.json", "fused_oof.npy", "fused_test.npy", "thresholds.json", "student_thresholds.json"}
    assert set(written(paths)) == decisions | tops


def test_the_ledger_scores_every_entry(finished):
    paths, truth, ledger = finished
    assert list(ledger["members"]) == MEMBERS
    assert list(ledger["fusion"]) == ["mean", "weighted", "lightgbm"]
    entries = {**ledger["members"], "student": ledger["student"], **ledger["fusion"], "final": ledger["final"]}
    targets = np.array([[name in labels for name in LABELS] for labels in train_labels(paths)])
    for name, entry in entries.items():
        oof, test = (np.load(paths.decisions(name) / f"{part}.npy") for part in ("oof", "test"))
        assert (oof.shape, test.shape) == ((ROWS, 4), (TEST_ROWS, 4)) and oof.dtype == test.dtype == bool
        assert entry["oof_macro_f1"] == pytest.approx(macro_f1(oof, targets))
        assert entry["test_macro_f1"] is None and entry["test_interval"] is None
        for decided in (oof, test):
            assert decided.sum(axis=1).min() >= 1 and decided.sum(axis=1).max() <= 3
    assert ledger["choice"]["entry"] in ENTRIES
    chosen = ledger["choice"]["entry"]
    np.testing.assert_array_equal(*(np.load(paths.decisions(name) / "test.npy") for name in (chosen, "final")))
    assert macro_f1(np.load(paths.decisions("final") / "test.npy"), truth) > 0.6
    rule = json.loads((paths.stack / "thresholds.json").read_text(encoding="utf-8"))
    cuts = np.array(list(rule["thresholds"].values()))
    decided = decide(np.load(paths.stack / "fused_test.npy"), cuts, rule["min_labels"], rule["max_labels"])
    np.testing.assert_array_equal(decided, np.load(paths.decisions("final") / "test.npy"))
    assert sum(ledger["importance"]["lightgbm"].values()) == pytest.approx(1)
    assert list(ledger["weights"]) == ["weighted"] and list(ledger["weights"]["weighted"]) == [*MEMBERS, "student"]
    assert sum(ledger["weights"]["weighted"].values()) == pytest.approx(1)


def train_labels(paths):
    table = pd.read_parquet(paths.records)
    return table[table["part"] == "train"]["labels"]


def test_fused_probabilities_and_thresholds_give_the_decisions(finished):
    paths, _, _ = finished
    thresholds = json.loads((paths.stack / "thresholds.json").read_text())
    assert list(thresholds["thresholds"]) == LABELS
    assert (thresholds["min_labels"], thresholds["max_labels"]) == (1, 3)
    fused = np.load(paths.stack / "fused_test.npy")
    assert fused.dtype == np.float32 and np.load(paths.stack / "fused_oof.npy").shape == (ROWS, 4)
    plain = fused >= np.array(list(thresholds["thresholds"].values()))
    decided = np.load(paths.decisions("final") / "test.npy")
    between = (plain.sum(axis=1) >= 1) & (plain.sum(axis=1) <= 3)
    assert between.any()
    np.testing.assert_array_equal(plain[between], decided[between])
    assert json.loads((paths.stack / "student_thresholds.json").read_text())["entry"] == "student"


def test_the_same_bytes_again_on_more_cores(finished, tmp_path):
    paths, _, _ = finished
    again, _ = make_run(tmp_path)
    stack_run(again, cores=2)
    assert written(again) == written(paths)


def test_without_a_student_nothing_of_an_earlier_one_stays(tmp_path):
    paths, _ = make_run(tmp_path)
    stack_run(paths)
    ledger = stack_run(paths, STACK.model_copy(update={"candidates": ("mean",)}), student=False)
    assert ledger["student"] is None and list(ledger["fusion"]) == ["mean"] and ledger["importance"] == {}
    assert not any("student" in name or "lightgbm" in name for name in written(paths))


@pytest.mark.parametrize("scheme", ["repeated", "holdout"])
def test_other_schemes(tmp_path, scheme):
    paths, _ = make_run(tmp_path, scheme)
    ledger = stack_run(paths)
    scored = read_folds(paths.folds).scored()
    assert ledger["scored_rows"] == scored.sum()
    assert scored.all() if scheme == "repeated" else 70 < scored.sum() < 90
    np.testing.assert_array_equal(np.isnan(np.load(paths.stack / "fused_oof.npy")).all(axis=1), ~scored)
    oof = np.load(paths.decisions("final") / "oof.npy")
    assert oof[scored].any(axis=1).all() and not oof[~scored].any()
    assert len(ledger["choice"]["folds"]) == (4 if scheme == "repeated" else 5)


def test_the_student_is_scored_and_cut_as_the_one_that_ships(tmp_path):
    """Of several repeats: the mean of their students is better than any, and what cuts it doesn't suit one."""
    paths, _ = make_run(tmp_path, "repeated")
    several = stack_run(paths)["student"]
    cuts = (paths.stack / "student_thresholds.json").read_bytes()
    folds = read_folds(paths.folds)
    for job in range(folds.count, folds.jobs):
        for file in (paths.student(job).validation, paths.student(job).test):
            write_array(file, np.full_like(np.load(file), 0.5))
    alone = stack_run(paths)["student"]
    assert alone["oof_macro_f1"] == several["oof_macro_f1"]
    assert (paths.stack / "student_thresholds.json").read_bytes() == cuts


@pytest.mark.parametrize("part", ["validation", "test"])
@pytest.mark.parametrize("wrong", [np.nan, 1.5, -0.1])
def test_an_answer_that_is_no_probability_is_refused_by_its_file(tmp_path, part, wrong):
    paths, _ = make_run(tmp_path)
    file = getattr(paths.fold_model("tfidf", 1, 2), part)
    answers = np.load(file)
    answers[1, 2] = wrong
    write_array(file, answers)
    with pytest.raises(UserError, match="no probability") as error:
        stack_run(paths)
    assert str(file) in str(error.value) and not paths.stack.exists()


def test_every_fusion_and_every_way_of_cutting_and_combining(tmp_path, monkeypatch):
    monkeypatch.setattr("polydx.ensemble.weights._PICKS", 4)  # a third of the time
    monkeypatch.setattr("polydx.ensemble.weight_candidates._BAGS", 2)
    paths, truth = make_run(tmp_path)
    changes = {"candidates": FUSIONS, "calibration": "isotonic", "thresholds": "pooled", "fold_combination": "matched"}
    changes |= {"early_stopping": 2}
    ledger = stack_run(paths, STACK.model_copy(update=changes))
    assert tuple(ledger["fusion"]) == FUSIONS
    for name in FUSIONS:
        assert macro_f1(np.load(paths.decisions(name) / "test.npy"), truth) > 0.5, name
        assert ledger["fusion"][name]["minus_best_single"]["interval"][0] < 0.2


def test_the_settings_know_every_fusion():
    (named, _) = get_args(Stack.model_fields["candidates"].annotation)
    assert get_args(named) == FUSIONS


def test_folds_that_part_near_copies_are_refused(tmp_path):
    paths, _ = make_run(tmp_path)
    table = pd.read_parquet(paths.records)
    folds = read_folds(paths.folds).fold_of_row(0)
    table.loc[np.flatnonzero(folds == 1)[0], "duplicate_group"] = np.flatnonzero(folds == 2)[0]
    table.to_parquet(paths.records, index=False)
    with pytest.raises(UserError, match=r"folds\.parquet: the records r\d+ and r\d+ are near copies"):
        stack_run(paths)
    assert not paths.stack.exists()


def test_record_numbers_join_the_stacker_only_when_asked(tmp_path, finished):
    paths, _ = make_run(tmp_path)
    ledger = stack_run(paths, STACK.model_copy(update={"record_number": True}))
    views = {
        "rate among 6 neighbours",
        "rate by a kernel of 3 numbers",
        "rate in its run",
        "opinions by a kernel of 3 numbers",
    }
    assert views < set(ledger["importance"]["lightgbm"])
    assert not any(name.startswith(("rate", "opinions")) for name in finished[2]["importance"]["lightgbm"])


def test_a_student_that_is_not_fused_competes_by_itself(tmp_path, finished):
    paths, _ = make_run(tmp_path)
    stack = STACK.model_copy(update={"fuse_student": False, "record_number": True})
    apart = stack_run(paths, stack)
    decided = {entry: np.load(paths.decisions(entry) / "oof.npy") for entry in ENTRIES}
    assert apart["student"] == finished[2]["student"] | {
        "minus_mean": apart["student"]["minus_mean"],
        "minus_best_single": apart["student"]["minus_best_single"],
    }
    assert apart["choice"]["entry"] in ENTRIES and (paths.stack / "student_thresholds.json").is_file()

    without = stack_run(paths, stack, student=False)
    assert without["fusion"].keys() == apart["fusion"].keys()
    for entry in without["fusion"]:
        np.testing.assert_array_equal(decided[entry], np.load(paths.decisions(entry) / "oof.npy"))
    assert without["importance"] == apart["importance"]


def test_neighbours_are_told_of_by_the_first_repeat_alone(tmp_path):
    """What later repeats say of a row's neighbours comes from models that learnt the row."""
    paths, _ = make_run(tmp_path, "repeated")
    records, folds = read_records(paths.records, paths.labels), read_folds(paths.folds)
    files = input_files(paths, ("bert", "tfidf"), 1, True, folds.jobs)
    inputs = read_inputs(files, folds, folds.fold_of_row(0), records.targets() > 0)
    near = read_context(records, files, folds, inputs, STACK.model_copy(update={"record_number": True})).neighbourhood
    np.testing.assert_array_equal(near.fold_of_row, folds.fold_of_row(0))
    for index, jobs in enumerate(files.values()):
        said = np.stack([np.load(job.test) for job in jobs])
        np.testing.assert_array_equal(near.test[index], said[: folds.count])
        np.testing.assert_allclose(inputs.test[index], (said[: folds.count] + said[folds.count :]) / 2, atol=1e-6)
        for job in range(folds.count):
            np.testing.assert_array_equal(near.oof[index, folds.validation(job)], np.load(jobs[job].validation))


def test_record_numbers_that_are_not_there_are_the_users_fault(tmp_path):
    paths, _ = make_run(tmp_path, record_numbers=False)
    with pytest.raises(UserError, match=r"stack.record_number.*contest.columns.order, or set it to false"):
        stack_run(paths, STACK.model_copy(update={"record_number": True}))
    assert not paths.stack.exists()
