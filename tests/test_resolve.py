import os
import shutil
from pathlib import Path

import pytest

from polydx.config import LinearMember, TransformerMember
from polydx.config.contradictions import contradictions
from polydx.errors import UserError
from polydx.resolve import load_settings, write_settings

CONFIGS = Path(__file__).parents[1] / "configs"
SMOKE = CONFIGS / "smoke.yaml"
MINE = """\
run: {name: mine}
encoders:
  small:
    layers: 1
members:
  words:
    kind: linear
  letters:
    kind: transformer
    encoder: small
"""


def line_of(path: Path, text: str, after: str = "") -> int:
    whole = path.read_text(encoding="utf-8")
    return whole.count("\n", 0, whole.index(text, whole.index(after))) + 1


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    shutil.copy(CONFIGS / "base.yaml", tmp_path)
    path = tmp_path / "mine.yaml"
    path.write_text(MINE, encoding="utf-8")
    return path


def fault(path: Path, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load_settings(path, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_file_holds_only_its_differences(mine: Path) -> None:
    settings, smoke = load_settings(mine), load_settings(SMOKE)
    assert settings.clean == smoke.clean
    assert settings.run.seed == 0
    letters = settings.members["letters"]
    assert isinstance(letters, TransformerMember)
    assert (letters.kind, letters.encoder, letters.epochs) == ("transformer", "small", 3)
    assert isinstance(settings.members["words"], LinearMember)
    assert (settings.encoders["small"].layers, settings.encoders["small"].hidden_size) == (1, 256)


def test_a_file_lays_its_own_defaults_between() -> None:
    settings = load_settings(SMOKE)
    pgd = settings.members["ernie_pgd"]
    assert isinstance(pgd, TransformerMember)
    assert pgd.max_tokens == 64
    assert (pgd.adversary.method, pgd.adversary.steps, pgd.adversary.alpha, pgd.adversary.start_epoch) == (
        "pgd",
        2,
        0.3,
        0.0,
    )


def test_overrides_change_values_defaults_and_entries(mine: Path) -> None:
    settings = load_settings(
        mine,
        [
            "split.folds=3",
            "contest.train=[a.json, b.json]",
            "transformer_defaults.learning_rate=1e-5",
            "encoders.small={hidden_size: 64, heads: 2}",
            "members.more={kind: linear, word_ngrams: 3}",
            "contest.sample={train: 5, test: 2, unlabelled: 1, seed: 3}",
            "contest.sample.train=6",
        ],
    )
    assert settings.split.folds == 3
    assert settings.contest.train == ("a.json", "b.json")
    letters = settings.members["letters"]
    assert isinstance(letters, TransformerMember)
    assert letters.learning_rate == 1e-5
    assert (settings.encoders["small"].layers, settings.encoders["small"].hidden_size) == (1, 64)
    assert list(settings.members) == ["words", "letters", "more"]
    assert settings.contest.sample is not None
    assert (settings.contest.sample.train, settings.contest.sample.test) == (6, 2)


def test_null_removes_a_member_or_an_encoder(mine: Path) -> None:
    settings = load_settings(mine, ["members.letters=null", "encoders.small=null"])
    assert list(settings.members) == ["words"]
    assert settings.encoders == {}
    assert load_settings(mine, ["contest.labels=null"]).contest.labels is None


def test_settings_come_back_from_their_json_equal(tmp_path: Path) -> None:
    visited = 0
    for path in sorted(CONFIGS.glob("*.yaml")):
        if path.name != "base.yaml":
            settings = load_settings(path, ["transformer_defaults.weight_decay=1e-7"])
            target = tmp_path / path.stem / "settings.json"
            write_settings(settings, target)
            assert load_settings(target) == settings
            visited += 1
    assert visited == 5


def test_a_json_fault_has_its_line_too(mine: Path, tmp_path: Path) -> None:
    target = tmp_path / "settings.json"
    write_settings(load_settings(mine), target)
    text = target.read_text(encoding="utf-8")
    target.write_text(text.replace('"folds": 5', '"folds": 1'), encoding="utf-8")
    line = line_of(target, '"folds": 1')
    assert fault(target).startswith(f"{target}:{line}: split.folds: is 1; ")


def test_unchanged_settings_keep_the_age_of_their_file(mine: Path, tmp_path: Path) -> None:
    target = tmp_path / "run" / "settings.json"
    write_settings(load_settings(mine), target)
    os.utime(target, (1000, 1000))
    write_settings(load_settings(mine), target)
    assert target.stat().st_mtime == 1000
    write_settings(load_settings(mine, ["run.seed=1"]), target)
    assert target.stat().st_mtime > 1000
    assert load_settings(target).run.seed == 1


FILE_FAULTS = {
    "unknown_key": ("split:\n  fold: 3\n", 2, "split.fold: unknown setting (value 3); did you mean 'folds'?"),
    "unknown_section": ("members: {a: {kind: linear}}\nspilt:\n  folds: 3\n", 2, "spilt: unknown setting"),
    "strange_key": ("run:\n  qqq: 1\n", 2, "run.qqq: unknown setting (value 1); remove it; configs/base.yaml shows"),
    "out_of_range": ("split:\n  folds: 1\n", 2, "split.folds: is 1; should be greater than or equal to 2"),
    "no_choice": ("split:\n  scheme: random\n", 2, "split.scheme: is \"random\"; should be 'stratified', 'repeated'"),
    "wrong_type": ("contest:\n\n  test: [a]\n", 3, 'contest.test: is ["a"]; should be a valid string'),
    "not_a_number": (
        "members: {a: {kind: linear}}\nstack: {trees: many}\n",
        2,
        'stack.trees: is "many"; should be a valid integer',
    ),
    "date": ("run: {name: 2022-01-02}\n", 1, 'run.name: is "2022-01-02"; should be a valid string'),
    "bad_name": ("run: {name: a/b}\n", 1, 'run.name: is "a/b"; String should match pattern'),
    "bad_encoder_name": ("encoders:\n  a b: {}\n", 2, 'encoders.a b: is "a b"; String should match pattern'),
    "duplicate_key": ("run:\n  seed: 1\n  seed: 2\n", 3, "the key 'seed' stands twice; keep one of the two"),
    "broken_yaml": ("run:\n  seed: [1\nsplit:\n", 3, "is not valid YAML; check indentation"),
    "no_kind": ("members:\n  words: {word_ngrams: 2}\n", 2, "members.words.kind: is null; use transformer or linear"),
    "wrong_kind": (
        "members:\n  words:\n    kind: forest\n",
        3,
        'members.words.kind: is "forest"; use transformer or linear',
    ),
    "list_kind": (
        "members:\n  words:\n    kind: [linear]\n",
        3,
        'members.words.kind: is ["linear"]; use transformer or linear',
    ),
    "in_a_member": (
        "members:\n  words:\n    kind: linear\n    word_ngrams: 0\n",
        4,
        "members.words.word_ngrams: is 0; should be greater than or equal to 1",
    ),
    "in_the_defaults": (
        "members:\n  words: {kind: linear}\nlinear_defaults:\n  word_ngram: 0\n",
        4,
        "members.words.word_ngram: unknown setting (value 0); did you mean 'word_ngrams'?",
    ),
    "empty_defaults": ("encoder_defaults:\nencoders: {a: {}}\n", 1, "encoder_defaults: is null; write key: value"),
    "no_encoder": ("members:\n  letters: {kind: transformer}\n", 2, "members.letters.encoder: is missing; add it"),
}


@pytest.mark.parametrize("name", sorted(FILE_FAULTS))
def test_a_fault_names_file_line_field_value_and_fix(mine: Path, name: str) -> None:
    text, line, expected = FILE_FAULTS[name]
    mine.write_text(text, encoding="utf-8")
    assert fault(mine).startswith(f"{mine}:{line}: {expected}")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "no such configuration file"),
        (b"", "holds no settings"),
        (b"- 1\n- 2\n", "holds no settings"),
        (b"run: {name: 2022-13-45}\n", "is not valid YAML"),
        (b"\xff\xfe\x00", "cannot be read (UnicodeDecodeError); give a UTF-8 text file"),
        (b"run: \x07\n", "is not valid YAML"),
    ],
)
def test_a_file_that_is_none_is_named(mine: Path, content: bytes | None, expected: str) -> None:
    mine.unlink()
    if content is not None:
        mine.write_bytes(content)
    message = fault(mine)
    assert message.startswith(str(mine))
    assert expected in message


ARGUMENT_FAULTS = {
    "no_value": ("split.folds", "is not key=value; write for example split.folds=3"),
    "no_key": ("=3", "is not key=value"),
    "broken_value": ("split.folds=[3", "its value is not valid YAML; quote it"),
    "impossible_date": ("run.name=2022-13-45", "its value is not valid YAML; quote it"),
    "unknown_section": ("spilt.folds=3", "there is no section 'spilt'; did you mean 'split'?"),
    "unknown_entry": ("members.wrods.word_ngrams=3", "there is no section 'members.wrods'; did you mean 'words'?"),
    "far_off": ("qqq.folds=3", "there is no section 'qqq'; choose one of clean, compress, compute, contest"),
    "null_section": ("contest.sample.train=3", "there is no section 'contest.sample'; set it whole, as"),
    "unknown_loss": (
        "members.letters.losses.weights={bec: 1.0}",
        "members.letters.losses.weights.bec: is \"bec\"; should be 'bce', 'soft_f1'",
    ),
    "unknown_key": ("split.fold=3", "split.fold: unknown setting (value 3); did you mean 'folds'?"),
    "bad_value": ("split.folds=many", 'split.folds: is "many"; should be a valid integer'),
    "nothing_to_remove": ("members.wrods=null", "there is no 'wrods' to remove; did you mean 'words'?"),
    "defaults": ("linear_defaults=3", "linear_defaults: is 3; write key: value"),
}


@pytest.mark.parametrize("name", sorted(ARGUMENT_FAULTS))
def test_a_fault_of_an_argument_names_the_argument(mine: Path, name: str) -> None:
    argument, expected = ARGUMENT_FAULTS[name]
    assert fault(mine, argument).startswith(f"argument {argument!r}: {expected}")


def test_the_last_member_can_not_be_removed(mine: Path) -> None:
    assert ": members: is {}; " in fault(mine, "members.words=null", "members.letters=null")


CONTRADICTIONS = {
    "weights_from_nowhere": ("encoders.small.source=pretrained", "is pretrained; set exactly one of path and package"),
    "weights_from_both": (
        "encoders.small={source: pretrained, path: here, package: there==1.0}",
        "is pretrained; set exactly one of path and package",
    ),
    "heads": ("encoders.small.heads=3", "encoders.small.heads: is 3; choose a divisor of hidden_size 256"),
    "pretraining_length": ("encoders.small.pretrain.max_tokens=513", "is 513; stay within max_positions 512"),
    "absent_encoder": ("members.letters.encoder=big", "'big' is not in encoders; choose one of: small"),
    "member_length": ("members.letters.max_tokens=513", "is 513; stay within max_positions 512 of encoder small"),
    "prediction_length": (
        "members.letters.long_records={prediction_tokens: 513}",
        "is 513; stay within max_positions 512 of encoder small",
    ),
    "chunk_length": (
        "members.letters={max_tokens: 4096, long_records: {mode: chunks, chunk_tokens: 600}}",
        "is 600; stay within max_positions 512 of encoder small",
    ),
    "streams": (
        "members.letters={max_tokens: 1025, long_records: {mode: two_streams}}",
        "is 1025; stay within two streams of chunk_tokens 512",
    ),
    "first_of_chunks": (
        "members.letters={pooling: first, long_records: {mode: chunks}}",
        "pooling: is first, but records are read in chunks; use a head that reads every token",
    ),
    "ngrams": ("members.words.character_ngrams=[3, 2]", "shortest is above longest; write [shortest, longest]"),
    "later_losses_alone": (
        "members.letters.losses.later_weights={soft_f1: 1.0}",
        "has no weights to come from; name the first losses in losses.weights",
    ),
    "loss_ramp": ("members.letters.losses.ramp=[0.5, 0.2]", "losses.ramp: is [0.5, 0.2]; write [start, end], rising"),
    "freelb_on_the_table": (
        "members.letters.adversary={method: freelb, target: table}",
        "adversary.target: is table, but FreeLB perturbs positions; use target: positions",
    ),
    "frozen_words_perturbed": (
        "members.letters={frozen_layers: 1, adversary: {method: fgm}}",
        "frozen_layers: is 1, but adversary.method fgm needs all layers; use null",
    ),
    "patience_without_rows": (
        "members.letters.patience=2",
        "patience: is 2; patience needs rows to watch: use weights: inner, or null",
    ),
    "more_micro_batches_than_rows": (
        "members.letters={batch_size: 4, accumulate: 5}",
        "accumulate: is 5; stay at or below batch_size 4",
    ),
    "two_roles": ("contest.columns={age: emr_id}", "column 'emr_id' has two roles; give each column one role"),
    "repeats": ("split.repeats=2", "split.repeats: is 2; use split.scheme=repeated, or 1 repeat"),
    "nothing_to_label": ("pseudo={rounds: 1, test_rows: false}", "is 1, but no rows to label; allow test_rows or give"),
    "ramp": ("pseudo.ramp_start=0.7", "pseudo.ramp_start: is 0.7; stay at or below ramp_end 0.6"),
    "cutoffs": (
        "pseudo={cutoff: fixed, negative_below: 0.8}",
        "pseudo.negative_below: is 0.8; stay below positive_above 0.8",
    ),
    "absent_student": ("distil={enabled: true, encoder: big}", "'big' is not in encoders; choose one of: small"),
    "label_counts": ("stack.min_labels=11", "stack.min_labels: is 11; stay at or below max_labels 10"),
    "numbers_nobody_reads": (
        "stack={record_number: true, candidates: [mean]}",
        "is true, but only the LightGBM stacker looks at it; put lightgbm into stack.candidates",
    ),
    "numbers_without_neighbours": (
        "stack={record_number: true, neighbour_widths: []}",
        "is true, but there is no neighbourhood; give stack.neighbour_widths",
    ),
    "adversary_that_never_starts": (
        "members.letters={epochs: 2, adversary: {method: fgm, start_epoch: 2}}",
        "adversary.start_epoch: is 2.0 of 2.0 epochs; start earlier, or set method: none",
    ),
    "adversary_that_starts_in_round_0_alone": (
        "members.letters.adversary={method: fgm, start_epoch: 1}",
        "adversary.start_epoch: is 1.0 of pseudo.epochs 1.0; start earlier, or go on with pseudo.continue_weights",
        "pseudo={rounds: 1, epochs: 1, continue_weights: false}",
    ),
    "half_a_focus": (
        "members.letters.losses.focal.focus=0.5",
        "focal.focus: is 0.5; its gradient would have no bound: give 0, or at least 1",
    ),
    "a_weight_that_is_the_same_everywhere": (
        "members.letters.losses.distribution_balanced.slope=0",
        "distribution_balanced.slope: is 0; should be greater than 0",
    ),
    "age_of_no_column": (
        "members.letters.side_features=[lengths, age]",
        "side_features: names age, but contest.columns.age is null; name its column there, or leave it out here",
        "contest.columns.age=null",
    ),
    "sex_of_no_column": (
        "members.letters.side_features=[sex]",
        "side_features: names sex, but contest.columns.sex is null",
        "contest.columns.sex=null",
    ),
    "two_passes_alike": (
        "members.letters={dropout: 0, adversary: {method: r_drop}}",
        "adversary.method: is r_drop, but dropout is 0; raise dropout, or set method: none",
    ),
    "masks_alike": (
        "members.letters={dropout: 0, dropout_samples: 3}",
        "dropout_samples: is 3, but dropout is 0; raise dropout, or give 1",
    ),
    "class_weights_of_no_loss": (
        "members.letters.losses={weights: {asl: 1.0}, later_weights: {soft_f1: 1.0}, class_weight_power: 0.5}",
        "losses.class_weight_power: is 0.5, but no loss is bce; give bce a weight, or set this to 0",
    ),
    "class_weights_of_soft_f1": (
        "members.letters={soft_f1_weight: 1, losses: {class_weight_power: 0.5}}",
        "losses.class_weight_power: is 0.5, but no loss is bce",
    ),
    "nothing_left_to_train": (
        "members.letters.frozen_layers=1",
        "frozen_layers: is 1; leave a layer to train: stay below encoder small's 1",
    ),
    "more_fresh_layers_than_there_are": (
        "members.letters.reinitialised_layers=2",
        "reinitialised_layers: is 2; stay within encoder small's 1 layers",
    ),
    "fresh_layers_that_are_frozen": (
        "members.letters={frozen_layers: 1, reinitialised_layers: 3}",
        "reinitialised_layers: is 3; stay within encoder small's 3 layers, of which 1 are frozen",
        "encoders.small.layers=3",
    ),
    "absent_student_layer": (
        "distil={enabled: true, encoder: small, layers: [0, 9]}",
        "distil.layers: is [0, 9]; give rising numbers from 0 to",
    ),
    "falling_assistant_layers": (
        "distil={enabled: true, encoder: small, assistant_layers: [1, 0]}",
        "distil.assistant_layers: is [1, 0]; give rising numbers from 0",
    ),
    "long_student": (
        "distil={enabled: true, encoder: small, max_tokens: 4096}",
        "distil.max_tokens: is 4096; stay within max_positions",
    ),
}


@pytest.mark.parametrize(
    "override",
    [
        "members.letters={max_tokens: 4096, long_records: {mode: chunks}}",
        "members.letters={max_tokens: 1024, long_records: {mode: two_streams}}",
        "members.letters={max_tokens: 1024, long_records: {positions: tiled, prediction_tokens: 2048}}",
    ],
)
def test_long_records_may_exceed_the_positions(mine: Path, override: str) -> None:
    letters = load_settings(mine, [override]).members["letters"]
    assert isinstance(letters, TransformerMember)
    assert letters.max_tokens > 512


@pytest.mark.parametrize(
    "overrides",
    [
        ["members.letters.side_features=[age, sex]"],
        ["members.letters.side_features=[lengths]", "contest.columns={age: null, sex: null}"],
        ["members.letters={dropout_samples: 3, adversary: {method: r_drop}}"],
        ["members.letters={soft_f1_weight: 0.9, losses: {class_weight_power: 0.5}}"],
        ["members.letters.losses={weights: {asl: 1.0}, later_weights: {bce: 1.0}, class_weight_power: 0.5}"],
        ["members.letters={frozen_layers: 0, reinitialised_layers: 1}"],
        ["members.letters={frozen_layers: 9, reinitialised_layers: 3}", "encoders.small={source: pretrained, path: x}"],
    ],
)
def test_what_has_an_effect_may_be_set(mine: Path, overrides: list[str]) -> None:
    load_settings(mine, overrides)


@pytest.mark.parametrize("name", sorted(CONTRADICTIONS))
def test_a_contradiction_names_the_argument_and_the_fix(mine: Path, name: str) -> None:
    argument, expected, *beside = CONTRADICTIONS[name]
    message = fault(mine, *beside, argument)
    assert message.startswith(f"argument {argument!r}: ")
    assert expected in message


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("{gradient_checkpointing: true}", "gradient_checkpointing"),
        ("{long_records: {performer_features: 8}}", "long_records.performer_features"),
    ],
)
def test_what_hides_layers_from_the_compiler_is_not_compiled(mine: Path, change: str, field: str) -> None:
    load_settings(mine, [f"members.letters={change}"])
    with pytest.raises(UserError) as caught:
        load_settings(mine, [f"members.letters={change}", "compute.compile=true"])
    expected = f"compute.compile: is true, but members.letters.{field} hides layers from the compiler; switch one"
    assert expected in str(caught.value)


def test_all_contradictions_are_found_whatever_else_is_wrong() -> None:
    settings = load_settings(SMOKE)
    columns = settings.contest.columns
    twice = columns.model_copy(update={"age": columns.id, "sex": columns.labels})
    changes = {
        "encoders": {},
        "members": settings.members | {"bert_fgm": settings.members["bert_fgm"].model_copy(update={"accumulate": 99})},
        "contest": settings.contest.model_copy(update={"columns": twice}),
        "stack": settings.stack.model_copy(update={"min_labels": 99}),
    }
    found = [".".join(key) for key, _, _ in contradictions(settings.model_copy(update=changes))]
    of_members = ["members.bert_fgm.encoder", "members.bert_fgm.accumulate", "members.ernie_pgd.encoder"]
    assert found == [*of_members, "contest.columns", "contest.columns", "distil.encoder", "stack.min_labels"]


def test_a_contradiction_names_the_line_of_the_defaults_it_came_from() -> None:
    line = line_of(SMOKE, "heads: 2", after="encoder_defaults:")
    assert fault(SMOKE, "encoder_defaults.hidden_size=33").startswith(
        f"{SMOKE}:{line}: encoders.small_bert.heads: is 2"
    )


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        (
            "distil.start=linear",
            r"distil\.start: is 'linear'; choose a member on distil.encoder 'small_bert': bert_fgm",
        ),
        ("distil.start=ernie_pgd", r"distil\.start: is 'ernie_pgd'"),
        ("distil.teacher_weights={bert: 1.0}", r"distil\.teacher_weights\.bert: 'bert' is not in members"),
        ("distil.teacher_weights={linear: 0.0}", r"distil\.teacher_weights: leaves no teacher"),
        ("distil.lessons.hidden=1.0", r"distil\.lessons\.teacher: is None"),
        ("distil.lessons.teacher=bert_fgm", r"distil\.lessons\.teacher: is bert_fgm"),
        ("distil.lessons.layers=[0, 1]", r"distil\.lessons\.layers: is \[0, 1\]"),
        ("distil={exits: joint, pooling_layer: false}", r"distil\.exits: is joint, but there is one layer"),
        ("distil={schedule: learned, temperature: 1.0}", r"distil\.temperature: is 1\.0"),
    ],
)
def test_contradictions_of_the_student(argument: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        load_settings(SMOKE, [argument])


def test_a_form_is_named_once() -> None:
    argument = "compress.forms=[bf16, onnx, bf16]"
    assert "compress.forms: " in fault(SMOKE, argument)
    assert "names bf16 twice: keep one of them" in fault(SMOKE, argument)


def test_teachers_cant_be_weighed_by_score_under_a_hold_out() -> None:
    load_settings(SMOKE, ["distil.teachers=by_score"])
    with pytest.raises(UserError, match=r"distil\.teachers: is by_score, but a hold-out scores no row outside"):
        load_settings(SMOKE, ["split.scheme=holdout", "distil.teachers=by_score"])


def test_contradictions_of_a_student_that_is_switched_off_do_not_matter() -> None:
    load_settings(SMOKE, ["distil.enabled=false", "distil.start=linear"])
