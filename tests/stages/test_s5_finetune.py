"""Stage 5 on a tiny run: both kinds of member, two rounds, and nothing learnt from a validation row's labels."""

import os
import re
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import yaml
from torch import Tensor
from transformers.models.bert.modeling_bert import BertLayer

from polydx.artifacts import read_array, read_json, write_array
from polydx.config import Adversary, Compute, LinearMember, Pseudo, TransformerMember
from polydx.contest.records import AGE_YEARS, DUPLICATE_GROUP, LABELS, PART, TEXT, TRAIN, UNLABELLED, read_records
from polydx.errors import UserError
from polydx.judge.folds import FOLD, NEVER_VALIDATED, read_folds
from polydx.model.encoders import load_encoder, save_folder
from polydx.names import LossName
from polydx.paths import FoldFiles, RunPaths
from polydx.stages import s5_finetune
from polydx.stages.members import lower
from polydx.stages.members import transformer as transformer_member
from polydx.stages.readings import tokens_name, training_reading
from polydx.train.classification import train_classifier
from polydx.train.launcher import RANK_VARIABLE, SIZE_VARIABLE
from small_runs import FOLDS, LABEL_NAMES, small_run, written

BASE = yaml.safe_load((Path(__file__).parents[2] / "configs" / "base.yaml").read_text(encoding="utf-8"))
COMPUTE = Compute.model_validate(BASE["compute"] | {"cores": 1, "device": "cpu", "checkpoint_seconds": 1e9})
PSEUDO_ROWS = [1, 7, 12]
SOFT_LABELS = [[0.9, 0.1], [0.2, 0.8], [0.7, 0.9]]
ARRAYS = {"validation.npy", "test.npy", "unlabelled.npy"}
LINEAR_MODEL = {"model/linear.json", "model/linear.safetensors"}
TRANSFORMER_MODEL = {
    "model/reading.json",
    "model/classifier.json",
    "model/head.safetensors",
    "model/encoder/config.json",
    "model/encoder/model.safetensors",
}

Member = LinearMember | TransformerMember


def transformer(**changes: Any) -> TransformerMember:
    small = {"encoder": "small", "max_tokens": 16, "epochs": 2, "batch_size": 8, "bf16": "never"}
    defaults = BASE["transformer_defaults"]
    adversary = defaults["adversary"] | {"start_epoch": 1.0} | changes.pop("adversary", {})
    losses = defaults["losses"] | changes.pop("losses", {})
    return TransformerMember.model_validate(defaults | small | changes | {"adversary": adversary, "losses": losses})


def linear() -> LinearMember:
    return LinearMember.model_validate(BASE["linear_defaults"] | {"word_ngrams": 1, "min_documents": 1})


def pseudo(**changes: Any) -> Pseudo:
    return Pseudo.model_validate(BASE["pseudo"] | {"rounds": 1, "ramp_start": 0.0, "ramp_end": 0.0} | changes)


MEMBERS: dict[str, Callable[[], Member]] = {"linear": linear, "transformer": transformer}


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return new_run(tmp_path)


@pytest.fixture(scope="module")
def plain_answers(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Test probabilities of the member with every technique off."""
    return finetune(new_run(tmp_path_factory.mktemp("plain")), transformer()).test.read_bytes()


def new_run(folder: Path) -> RunPaths:
    """A run of three folds with an encoder and, for round 1, three pseudo-rows a fold."""
    paths = small_run(folder)
    write_array(paths.pseudo(1, 1) / "rows.npy", np.array(PSEUDO_ROWS))
    write_array(paths.pseudo(1, 1) / "soft_labels.npy", np.array(SOFT_LABELS, dtype=np.float32))
    return paths


def finetune(
    paths: RunPaths,
    member: Member,
    round_number: int = 0,
    *,
    labels: Pseudo | None = None,
    teaches: bool = False,
    fold: int = 1,
    compute: Compute = COMPUTE,
) -> FoldFiles:
    if member.kind == "transformer" and member.frozen_layers is not None:
        lower.run(paths, "m", member, compute)
    s5_finetune.run(paths, "m", member, round_number, fold, "tokens", labels, compute, teaches, seed=0)
    return paths.fold_model("m", round_number, fold)


def relabel(paths: RunPaths, rows: np.ndarray) -> None:
    """Give training rows the opposite labels."""
    table = pd.read_parquet(paths.records)
    table[LABELS] = [
        [name for name in LABEL_NAMES if name not in labels] if row in rows else list(labels)
        for row, labels in enumerate(table[LABELS])
    ]
    table.to_parquet(paths.records)


@pytest.mark.parametrize("kind", MEMBERS)
def test_a_job_writes_its_files_and_reruns_to_the_same_bytes(
    paths: RunPaths, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files = finetune(paths, MEMBERS[kind](), teaches=True)
    first = written(files)
    assert set(first) == ARRAYS | {"training.npy"} | (LINEAR_MODEL if kind == "linear" else TRANSFORMER_MODEL)
    for file, rows in ((files.validation, 8), (files.training, 16), (files.test, 6), (files.unlabelled, 10)):
        array = read_array(file)
        assert (array.shape, array.dtype) == ((rows, 2), np.float32)
        assert 0 <= array.min() <= array.max() <= 1
    report = read_json(files.report)
    assert {key: report[key] for key in ("member", "round", "fold", "training_rows", "pseudo_rows")} == {
        "member": "m",
        "round": 0,
        "fold": 1,
        "training_rows": 16,
        "pseudo_rows": 0,
    }
    assert {"steps", "seconds", "adversarial_steps", "final_loss"} <= set(report)
    assert report["steps"] == (0 if kind == "linear" else 4)
    assert capsys.readouterr().err.splitlines()[-1].startswith("s5 finetune m-round0-fold1: 16 rows and 0 pseudo-rows")
    assert not paths.checkpoints("finetune-m-round0-fold1").exists()

    finetune(paths, MEMBERS[kind](), teaches=True)
    assert written(files) == first


@pytest.mark.parametrize("kind", MEMBERS)
def test_who_does_not_teach_predicts_no_training_rows(paths: RunPaths, kind: str) -> None:
    assert set(written(finetune(paths, MEMBERS[kind]()))) & (ARRAYS | {"training.npy"}) == ARRAYS


def test_only_the_first_process_of_a_launcher_fits_a_linear_member(paths: RunPaths, tmp_path: Path) -> None:
    alone = written(finetune(paths, linear()))
    runs = [new_run(tmp_path / rank) for rank in ("0", "1")]

    def launched(rank: int) -> None:
        os.environ |= {SIZE_VARIABLE: "2", RANK_VARIABLE: str(rank)}
        finetune(runs[rank], linear())

    started = [get_context("fork").Process(target=launched, args=(rank,)) for rank in (0, 1)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0]
    first, second = (run.fold_model("m", 0, 1) for run in runs)
    assert written(first) == alone
    assert first.report.exists()
    assert not second.folder.exists()


def test_folds_and_members_differ(paths: RunPaths) -> None:
    tests = [read_array(finetune(paths, transformer(), fold=fold).test).tobytes() for fold in range(FOLDS)]
    assert len(set(tests)) == FOLDS


@pytest.mark.parametrize("round_number", [0, 1])
@pytest.mark.parametrize("kind", MEMBERS)
def test_labels_of_validation_rows_change_nothing_that_is_written(
    paths: RunPaths, kind: str, round_number: int
) -> None:
    def both() -> dict[str, bytes]:
        finetune(paths, MEMBERS[kind]())
        if round_number:
            finetune(paths, MEMBERS[kind](), 1, labels=pseudo(), teaches=True)
        return written(paths.fold_model("m", round_number, 1))

    clean = both()
    folds = read_folds(paths.folds)
    relabel(paths, np.flatnonzero(folds.validation(1)))
    assert both() == clean
    relabel(paths, np.flatnonzero(folds.training(1)))
    assert both() != clean, "a training row's labels do change it"


def test_an_inner_choice_does_not_see_the_validation_rows_either(paths: RunPaths) -> None:
    member = transformer(weights="inner", inner_share=0.25)
    clean = written(finetune(paths, member))
    relabel(paths, np.flatnonzero(read_folds(paths.folds).validation(1)))
    assert written(finetune(paths, member)) == clean


def test_the_inner_slice_is_the_same_in_every_round_and_parts_no_copies(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pd.read_parquet(paths.records)
    train = np.flatnonzero(table[PART] == TRAIN)
    table.loc[train, DUPLICATE_GROUP] = train // 2 * 2
    table.to_parquet(paths.records)
    slices = []

    def spy(*arguments, inner, **named):  # type: ignore[no-untyped-def]
        slices.append(inner)
        return train_classifier(*arguments, inner=inner, **named)

    monkeypatch.setattr(transformer_member, "train_classifier", spy)
    member = transformer(weights="inner", inner_share=0.25)
    finetune(paths, member)
    finetune(paths, member, 1, labels=pseudo())
    first, second = slices
    np.testing.assert_array_equal(second, [*first, False, False, False])
    learned = np.flatnonzero(read_folds(paths.folds).training(1))
    assert not set(learned[first] // 2) & set(learned[~first] // 2)


def test_states_that_a_whole_run_threw_away_are_asked_for(paths: RunPaths) -> None:
    member = transformer(frozen_layers=0)
    with pytest.raises(UserError, match=r"lower_states/small-0-\w+: is absent.*; make it anew: polydx lower-states"):
        s5_finetune.run(paths, "m", member, 0, 1, "tokens", None, COMPUTE, False, seed=0)


@pytest.mark.parametrize("redone", ["clean", "pretrain"])
def test_states_of_other_records_or_another_encoder_are_refused(paths: RunPaths, redone: str) -> None:
    member = transformer(frozen_layers=0)
    first = finetune(paths, member).test.read_bytes()
    if redone == "clean":
        table = pd.read_parquet(paths.records)
        # Each record as long as before.
        table[TEXT] = table[TEXT].str.replace("word1 ", "word2 ")
        table.to_parquet(paths.records)
    else:
        encoder = load_encoder(paths.encoder("small"), 0.0)
        encoder.embeddings.LayerNorm.bias.data += 0.1
        save_folder(paths.encoder("small"), encoder)
    with pytest.raises(UserError, match=r"was made of other records or another encoder; make it anew: polydx lower-st"):
        s5_finetune.run(paths, "m", member, 0, 1, "tokens", None, COMPUTE, False, seed=0)
    assert finetune(paths, member).test.read_bytes() != first


def test_members_with_other_numbers_beside_the_text_share_their_states(paths: RunPaths) -> None:
    finetune(paths, transformer(frozen_layers=0))
    table = pd.read_parquet(paths.records)
    ages = pd.Series(range(len(table)), dtype=float)
    beside = transformer(frozen_layers=0, side_features=["age"])
    table.assign(**{AGE_YEARS: ages}).to_parquet(paths.records)
    s5_finetune.run(paths, "m", beside, 0, 1, "tokens", None, COMPUTE, False, seed=0)


@pytest.mark.parametrize("kind", MEMBERS)
def test_round_one_learns_from_the_pseudo_rows(paths: RunPaths, kind: str) -> None:
    finetune(paths, MEMBERS[kind]())
    files = finetune(paths, MEMBERS[kind](), 1, labels=pseudo())
    report = read_json(files.report)
    assert (report["round"], report["training_rows"], report["pseudo_rows"]) == (1, 16, 3)
    first = written(files)
    finetune(paths, MEMBERS[kind](), 1, labels=pseudo(final_weight=0.0))
    unweighted = written(files)
    assert unweighted["test.npy"] != first["test.npy"]

    soft_labels = paths.pseudo(1, 1) / "soft_labels.npy"
    write_array(soft_labels, 1 - read_array(soft_labels))
    finetune(paths, MEMBERS[kind](), 1, labels=pseudo(final_weight=0.0))
    assert written(files) == unweighted, "rows without weight teach nothing"
    finetune(paths, MEMBERS[kind](), 1, labels=pseudo())
    assert written(files)["test.npy"] != first["test.npy"]


def test_pseudo_rows_are_places_among_test_then_unlabelled_rows(paths: RunPaths) -> None:
    records = read_records(paths.records, paths.labels)
    rows = s5_finetune._rows(records, read_folds(paths.folds), 1)
    rows = s5_finetune._with_pseudo_rows(rows, paths.pseudo(1, 1))
    assert rows.pseudo.tolist() == [24 + 1, 30 + 1, 30 + 6]
    assert rows.is_pseudo.tolist() == [False] * 16 + [True] * 3
    assert len(rows.learned) == len(rows.targets) == 19


def test_going_on_starts_from_the_round_before_and_starting_over_does_not(paths: RunPaths) -> None:
    def round_one(goes_on: bool) -> bytes:
        labels = pseudo(continue_weights=goes_on)
        return written(finetune(paths, transformer(), 1, labels=labels))["model/encoder/model.safetensors"]

    finetune(paths, transformer())
    going_on, over = round_one(goes_on=True), round_one(goes_on=False)
    assert going_on != over
    finetune(paths, transformer(learning_rate=1e-3))
    assert round_one(goes_on=True) != going_on
    assert round_one(goes_on=False) == over


def test_adversarial_steps_are_counted_and_round_one_needs_no_clean_epochs(paths: RunPaths) -> None:
    member = transformer(adversary={"method": "fgm"})
    assert read_json(finetune(paths, member).report)["adversarial_steps"] == 2
    report = read_json(finetune(paths, member, 1, labels=pseudo()).report)
    assert report["adversarial_steps"] == report["steps"] == 3


METHODS = [name for name in get_args(Adversary.model_fields["method"].annotation) if name != "none"]
TECHNIQUES: dict[str, dict[str, Any]] = {
    **{name: {"adversary": {"method": name}} for name in METHODS},
    **{f"{name} on the table": {"adversary": {"method": name, "target": "table"}} for name in ("fgm", "pgd", "vat")},
    **{f"loss {name}": {"losses": {"weights": {name: 1.0}}} for name in get_args(LossName) if name != "bce"},
    "soft-F1 mixed in": {"soft_f1_weight": 0.3},
    "BCE first, F1 later": {
        "losses": {"weights": {"bce": 1.0}, "later_weights": {"bce": 0.5, "soft_f1": 0.5}, "ramp": [0.2, 0.6]}
    },
    "class weights": {"losses": {"class_weight_power": 0.5}},
    "logit adjustment": {"losses": {"logit_adjustment": 1.0}},
    "moving average": {"weights": "averaged"},
    "SWA": {"weights": "swa"},
    "inner choice with patience": {"weights": "inner", "patience": 1, "inner_share": 0.25},
    "layer-wise rates": {"layer_decay": 0.5},
    "fresh top layer": {"reinitialised_layers": 1},
    "frozen embeddings": {"frozen_layers": 0},
    "multi-sample dropout": {"dropout_samples": 3},
    "a token budget": {"batch_tokens": 40},
}


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_each_technique_is_fine_tuned_with_from_its_setting(
    paths: RunPaths, plain_answers: bytes, technique: str
) -> None:
    changes = TECHNIQUES[technique]
    files = finetune(paths, transformer(**changes))
    assert files.test.read_bytes() != plain_answers, "it makes a difference"
    assert np.isfinite(read_array(files.test)).all()
    report = read_json(files.report)
    assert np.isfinite(report["final_loss"])
    assert report["adversarial_steps"] == (2 if "adversary" in changes else 0)
    assert set(written(files)) == ARRAYS | TRANSFORMER_MODEL


def test_every_perturbation_and_loss_is_among_them() -> None:
    assert len(METHODS) == 7
    assert len(TECHNIQUES) == 7 + 3 + 8 + 12


def test_shapes_of_losses_come_from_their_settings(paths: RunPaths) -> None:
    losses = BASE["transformer_defaults"]["losses"]
    shapes: list[dict[str, Any]] = [
        {},
        {"sigmoid_f1": {"slope": 3.0, "offset": 0.0}},
        {"sigmoid_f1": {"slope": 1.0, "offset": 1.0}},
        {"distribution_balanced": losses["distribution_balanced"] | {"focus": 1.0}},
    ]
    weights = {"sigmoid_f1": 1.0, "distribution_balanced": 1.0}
    answers = {finetune(paths, transformer(losses={"weights": weights} | shape)).test.read_bytes() for shape in shapes}
    assert len(answers) == 4


def test_gradient_checkpointing_changes_no_byte(paths: RunPaths, plain_answers: bytes) -> None:
    assert finetune(paths, transformer(gradient_checkpointing=True)).test.read_bytes() == plain_answers


@pytest.mark.parametrize(("changes", "packed"), [({}, True), ({"performer_features": 8}, False)])
def test_packing_changes_no_more_than_rounding_and_leaves_linear_attention_out(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch, changes: dict[str, int], packed: bool
) -> None:
    shapes: set[int] = set()

    def note_rows(layer: BertLayer, hidden: Tensor, *inputs: Any, **options: Any) -> Tensor:
        shapes.add(len(hidden))
        return whole_layer(layer, hidden, *inputs, **options)

    whole_layer = BertLayer.forward
    long_records = BASE["transformer_defaults"]["long_records"] | changes
    member = transformer(dropout=0.0, long_records=long_records)
    padded = np.array(read_array(finetune(paths, member).test))
    monkeypatch.setattr(BertLayer, "forward", note_rows)
    found = read_array(finetune(paths, member, compute=COMPUTE.model_copy(update={"packing": "on"})).test)
    np.testing.assert_allclose(found, padded, rtol=0, atol=1e-3)
    assert (shapes == {1}) == packed, "one row holds all records of a batch"


def test_members_are_compiled_when_told(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match=r"compute\.compile: is true, but there is no C\+\+ compiler"):
        finetune(paths, transformer(), compute=COMPUTE.model_copy(update={"compile": True}))


def test_techniques_compose(paths: RunPaths) -> None:
    member = transformer(
        adversary={"method": "pgd", "target": "table"},
        losses={"weights": {"bce": 0.7, "asl": 0.3}, "logit_adjustment": 0.5},
        weights="swa",
        layer_decay=0.8,
        dropout_samples=2,
        gradient_checkpointing=True,
    )
    first = written(finetune(paths, member))
    assert written(finetune(paths, member)) == first


def test_more_fresh_layers_than_there_are_is_the_users_fault(paths: RunPaths) -> None:
    with pytest.raises(UserError, match=r"members\.m\.reinitialised_layers: is 2; stay within the encoder's 1 layers"):
        finetune(paths, transformer(reinitialised_layers=2))


def test_frozen_layers_leave_one_to_train(paths: RunPaths) -> None:
    with pytest.raises(UserError, match=r"members\.m\.frozen_layers: is 1; leave a layer to train"):
        finetune(paths, transformer(frozen_layers=1))


def test_a_contest_without_unlabelled_rows_writes_an_empty_array(paths: RunPaths) -> None:
    table = pd.read_parquet(paths.records)
    table[table[PART] != UNLABELLED].to_parquet(paths.records)
    for member in (linear(), transformer()):
        assert read_array(finetune(paths, member).unlabelled).shape == (0, 2)


def test_a_hold_out_trains_on_the_rows_that_are_never_validated(paths: RunPaths) -> None:
    folds = pd.read_parquet(paths.folds)
    folds[FOLD] = np.where(folds[FOLD] == 0, 0, NEVER_VALIDATED)
    folds.to_parquet(paths.folds)
    files = finetune(paths, linear(), fold=0)
    assert read_array(files.validation).shape == (8, 2)
    assert read_json(files.report)["training_rows"] == 16


def test_more_tokens_than_positions_is_the_users_fault(paths: RunPaths) -> None:
    with pytest.raises(UserError, match=r"members\.m\.max_tokens: is 33; stay within the encoder's 32 positions"):
        finetune(paths, transformer(max_tokens=33))
    assert not paths.fold_model("m", 0, 1).folder.exists()


def test_records_are_encoded_once_for_all_folds_rounds_and_members_that_read_alike(
    paths: RunPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    def files() -> dict[str, tuple[int, int]]:
        return {file.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in paths.tokens("").parent.iterdir()}

    finetune(paths, transformer(epochs=1), fold=0)
    made = files()
    assert list(made) == [f"{tokens_name('small', training_reading(transformer()))}.arrow"]
    for fold in range(1, FOLDS):
        finetune(paths, transformer(epochs=1), fold=fold)
    finetune(paths, transformer(epochs=1), 1, labels=pseudo())
    finetune(paths, transformer(epochs=1, pooling="laat", frozen_layers=0))
    assert files() == made
    assert capsys.readouterr().err.count("s5 tokens small_") == 1

    finetune(paths, transformer(epochs=1, max_tokens=8))
    assert len(files()) == 2 and made.items() < files().items()


def test_the_report_tells_the_speed_and_micro_batches_are_no_steps(
    paths: RunPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    report = read_json(finetune(paths, transformer(accumulate=3)).report)
    assert report["steps"] == 4
    assert 0 <= report["padding_share"] < 0.5
    # Four to eleven words and two special tokens a record.
    assert 6 <= report["tokens_per_second"] / report["examples_per_second"] <= 13
    flops = report["flops_per_example"] * report["examples_per_second"]
    assert report["flops_per_second"] == pytest.approx(flops, rel=1e-3)
    assert report["mfu"] == pytest.approx(flops / report["matrix_flops_per_second"], abs=1e-4)
    line = r"s5 finetune m-round0-fold1: [\d.]+ examples/s, \d+ tokens/s, [\d.]+% padding, [\d.]+ GFLOP/s, \d+% of the"
    assert re.search(line, capsys.readouterr().err)
