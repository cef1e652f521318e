import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from polydx.artifacts import read_json, write_array, write_json
from polydx.config import Settings
from polydx.deploy.student_card import read_card
from polydx.errors import UserError
from polydx.paths import ALL_ROWS, RunPaths
from polydx.resolve import load_settings
from polydx.stages import s9_submit
from small_runs import tiny_paths, write_inputs

SMOKE = Path(__file__).parents[2] / "configs" / "smoke.yaml"
LABELS = ("肺炎", "骨折", "高血压")
TRAIN, TEST, FOLDS = 8, 4, 2
MEMBERS = ("bert_fgm", "ernie_pgd", "linear")
ENTRIES = [f"{member}.round{number}" for member in MEMBERS for number in (0, 1)]
DECIDED = np.array([[1, 0, 0], [0, 1, 1], [1, 1, 1], [0, 0, 1]], dtype=bool)


def scores(value: float) -> dict[str, object]:
    interval = [value - 0.02, value + 0.02]
    return {
        "oof_macro_f1": value,
        "oof_interval": interval,
        "optimistic_oof_macro_f1": value + 0.1,
        "test_macro_f1": None,
        "test_interval": None,
        "minus_mean": {"difference": value - 0.64, "interval": interval},
        "minus_best_single": {"difference": value - 0.61, "interval": interval},
    }


def ledger(choice: str) -> dict[str, object]:
    return {
        "final": scores(0.66),
        "members": {entry: scores(0.5 + place / 100) for place, entry in enumerate(ENTRIES)},
        "student": scores(0.61),
        "fusion": {name: scores(0.64) for name in ("mean", "weighted", "lightgbm")},
        "choice": {"entry": choice},
        "importance": {"lightgbm": {"log-odds by linear.round0": 0.7, "rate in its run": 0.2, "number_脉搏": 0.1}},
        "labels": [{"label": name, "positives": 3 + place, "f1": 0.6} for place, name in enumerate(LABELS)],
    }


def thresholds() -> dict[str, object]:
    return {"thresholds": dict(zip(LABELS, (0.3, 0.4, 0.5), strict=True)), "min_labels": 1, "max_labels": 9}


def report(round_number: int, adversarial_steps: int) -> dict[str, object]:
    return {"pseudo_rows": 5 * round_number, "adversarial_steps": adversarial_steps}


def write_run(folder: Path, choice: str = "weighted") -> RunPaths:
    """Every artefact that the stage reads, made by hand."""
    paths = tiny_paths(folder)
    ids = [f"ZY{row:06d}" for row in range(TRAIN + TEST)]
    parts = ["train"] * TRAIN + ["test"] * TEST
    table = pd.DataFrame({"id": ids, "part": parts, "labels": [[LABELS[0]]] * TRAIN + [[]] * TEST})
    write_inputs(paths, table, LABELS, [row % FOLDS for row in range(TRAIN)])
    for encoder, after in (("small_bert", 2.5), ("small_ernie", 2.25)):
        pretraining = {"test_text": True, "steps": 9, "heldout_loss_before": 5.0, "heldout_loss_after": after}
        write_json(paths.encoder(encoder) / "pretraining.json", pretraining)
    for job in range(FOLDS):
        for number in (0, 1):
            write_json(paths.fold_model("bert_fgm", number, job).report, report(number, 7))
            write_json(paths.fold_model("ernie_pgd", number, job).report, report(number, 20))
            write_json(paths.fold_model("linear", number, job).report, report(number, 0))
        write_json(paths.student(job).report, {"pseudo_rows": 4, "adversarial_steps": 0})
    write_json(paths.student(ALL_ROWS).model / "config.json", {"model_type": "bert"})
    (paths.student(ALL_ROWS).model / ".snakemake_timestamp").touch()
    write_array(paths.decisions("final") / "test.npy", DECIDED)
    write_array(paths.stack / "fused_test.npy", np.where(DECIDED, 0.75, 0.25).astype(np.float32))
    write_json(paths.stack / "thresholds.json", thresholds())
    write_json(paths.stack / "student_thresholds.json", thresholds())
    write_json(paths.ledger, ledger(choice))
    return paths


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(SMOKE, ["run.name=tiny"])


def files_under(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_everything_is_written_and_the_scores_wait_for_the_test(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = write_run(tmp_path)
    s9_submit.run(paths, settings)
    assert set(files_under(paths.submission)) == {
        "submission.json",
        "settings.json",
        "versions.json",
        "student/config.json",
        "student/polydx.json",
        "figures/scores.png",
        "figures/label_f1.png",
        "figures/thresholds.png",
        "figures/importance_lightgbm.png",
    }
    submission = json.loads((paths.submission / "submission.json").read_text(encoding="utf-8"))
    assert list(submission) == [f"ZY{row:06d}" for row in range(TRAIN, TRAIN + TEST)]
    assert submission["ZY000009"] == ["骨折", "高血压"]
    assert load_settings(paths.submission / "settings.json") == settings
    printed = capsys.readouterr()
    assert not printed.out
    assert "s9 submit: 4 test records" in printed.err


def test_card_says_what_every_model_saw(tmp_path: Path, settings: Settings) -> None:
    paths = write_run(tmp_path)
    s9_submit.run(paths, settings)
    card = read_json(paths.card)
    bert, ernie = {"before": 5.0, "after": 2.5}, {"before": 5.0, "after": 2.25}
    first = card["members"]["bert_fgm.round0"]
    assert (first["training_jobs"], first["pseudo_rows"], first["adversarial_steps"]) == (2, 0, 14)
    assert first["masked_lm_loss"] == {"small_bert": bert}
    # Round 1 went on from round 0's weights, so it has that round's steps too; the linear member began anew.
    second = card["members"]["bert_fgm.round1"]
    assert (second["training_jobs"], second["pseudo_rows"], second["adversarial_steps"]) == (4, 10, 28)
    linear = card["members"]["linear.round1"]
    assert (linear["training_jobs"], linear["pseudo_rows"], linear["masked_lm_loss"]) == (2, 10, {})
    assert card["student"]["pseudo_rows"] == 8
    for entry in (*card["fusion"].values(), card["final"]):
        assert (entry["training_jobs"], entry["pseudo_rows"], entry["adversarial_steps"]) == (14, 38, 108)
        assert entry["masked_lm_loss"] == {"small_bert": bert, "small_ernie": ernie}
    assert card["final"]["oof_macro_f1"] == 0.66
    assert set(card["data_use"].values()) == {True, False}
    assert not card["data_use"]["record_number_in_stacking"]


def test_a_fusion_without_the_student_saw_what_the_members_saw(tmp_path: Path, settings: Settings) -> None:
    paths = write_run(tmp_path)
    stack = settings.stack.model_copy(update={"fuse_student": False})
    s9_submit.run(paths, settings.model_copy(update={"stack": stack}))
    card = read_json(paths.card)
    assert card["student"]["pseudo_rows"] == 8
    for entry in (*card["fusion"].values(), card["final"]):
        assert (entry["training_jobs"], entry["pseudo_rows"]) == (12, 30)


def test_a_final_choice_of_one_member_saw_what_the_member_saw(tmp_path: Path, settings: Settings) -> None:
    paths = write_run(tmp_path, choice="ernie_pgd.round0")
    s9_submit.run(paths, settings)
    assert read_json(paths.card)["final"]["adversarial_steps"] == 40


def test_shipped_student_knows_its_labels_and_thresholds(tmp_path: Path, settings: Settings) -> None:
    paths = write_run(tmp_path)
    columns = settings.contest.columns.model_copy(update={"numbers": ("wbc",), "categories": ("ward",), "order": "day"})
    contest = settings.contest.model_copy(update={"columns": columns})
    s9_submit.run(paths, settings.model_copy(update={"contest": contest}))
    card = read_card(paths.submission / "student")
    assert (card.columns.numbers, card.columns.categories, card.columns.order) == ((), (), None), "it reads texts alone"
    assert (card.labels, card.thresholds, card.min_labels) == (LABELS, (0.3, 0.4, 0.5), 1)
    assert card.max_tokens == settings.distil.max_tokens
    assert card.headings["chief_complaint"] == ("主诉",)


def test_again_gives_the_same_bytes(tmp_path: Path, settings: Settings) -> None:
    paths = write_run(tmp_path)
    s9_submit.run(paths, settings)
    before, card = files_under(paths.submission), paths.card.read_bytes()
    s9_submit.run(paths, settings)
    assert files_under(paths.submission) == before
    assert paths.card.read_bytes() == card


def test_another_format_leaves_nothing_of_the_first(tmp_path: Path, settings: Settings) -> None:
    paths = write_run(tmp_path)
    s9_submit.run(paths, settings)
    write_json(paths.scores, {})
    write_json(paths.ledger, ledger("mean") | {"student": None})
    s9_submit.run(paths, load_settings(SMOKE, ["run.name=tiny", "submit.format=csv_labels", "distil.enabled=false"]))
    left = set(files_under(paths.submission))
    assert "submission.csv" in left
    assert not left & {"submission.json", "scores.json", "student/polydx.json"}


def test_a_delimiter_inside_a_label_is_refused(tmp_path: Path) -> None:
    paths = write_run(tmp_path)
    write_json(paths.scores, {"of": "an earlier run"})
    faulty = load_settings(SMOKE, ["run.name=tiny", "submit.format=csv_labels", "submit.label_delimiter=骨"])
    with pytest.raises(UserError, match=r"submit\.label_delimiter"):
        s9_submit.run(paths, faulty)
    assert not paths.card.exists()
    assert set(files_under(paths.submission)) == {"scores.json"}
