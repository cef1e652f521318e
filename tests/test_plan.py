import json
from importlib.metadata import version
from pathlib import Path

import pytest

from polydx.model.reading import Reading
from polydx.plan import describe, fold_jobs, jobs, lower_states, missing_packages, token_files
from polydx.resolve import load_settings

SMOKE = Path(__file__).parents[1] / "configs" / "smoke.yaml"


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("{scheme: stratified, folds: 4}", 4),
        ("{scheme: plain, folds: 3}", 3),
        ("{scheme: repeated, folds: 3, repeats: 2}", 6),
        ("{scheme: holdout}", 1),
    ],
)
def test_fold_jobs(split: str, expected: int) -> None:
    assert fold_jobs(load_settings(SMOKE, [f"split={split}"]).split) == expected


def test_jobs_stand_in_the_order_of_the_pipeline() -> None:
    assert list(jobs(load_settings(SMOKE)).items()) == [
        ("clean", 1),
        ("inspect", 1),
        ("split", 1),
        ("pretrain", 2),
        ("tokens", 2),
        ("lower-states", 0),
        ("finetune", 3 * 2 * 2),
        ("pseudo", 2),
        ("distil", 3),
        ("stack", 1),
        ("submit", 1),
    ]


def test_what_is_switched_off_has_no_jobs() -> None:
    planned = jobs(load_settings(SMOKE, ["pseudo.rounds=0", "distil.enabled=false"]))
    assert (planned["finetune"], planned["pseudo"], planned["distil"]) == (3 * 2, 0, 0)


def test_members_that_freeze_the_same_layers_share_their_states() -> None:
    frozen = "frozen_layers: 0, adversary: {method: none}"
    alike = [f"members.{name}={{kind: transformer, encoder: small_bert, {frozen}}}" for name in ("one", "two")]
    other = f"members.three={{kind: transformer, encoder: small_bert, max_tokens: 20, {frozen}}}"
    settings = load_settings(SMOKE, [*alike, other])
    assert sorted(lower_states(settings).values()) == ["three", "two"]
    assert jobs(settings)["lower-states"] == 2
    assert lower_states(load_settings(SMOKE)) == {}


def test_who_reads_alike_shares_a_file_of_tokens() -> None:
    longer = "members.bert_fgm.long_records={mode: chunks, chunk_tokens: 32, prediction_tokens: 128}"
    alike = "members.again={kind: transformer, encoder: small_bert, long_records: {chunk_tokens: 32}}"
    made = token_files(load_settings(SMOKE, [longer, alike]))
    chunks = [Reading("chunks", tokens, chunk_tokens=32) for tokens in (64, 128)]
    cut = Reading("cut", 64)
    found = {(file.encoder, file.reading.key) for file in made.values()}
    expected = [*(("small_bert", reading) for reading in (*chunks, cut)), ("small_ernie", cut)]
    assert found == {(encoder, reading.key) for encoder, reading in expected}, "the student's is that of `again`"
    assert list(made) == [f"{encoder}_{key}" for encoder, key in ((f.encoder, f.reading.key) for f in made.values())]

    alone = token_files(load_settings(SMOKE, [longer, "distil.max_tokens=20"]))
    assert Reading("cut", 20) in [file.reading for file in alone.values()]
    no_student = token_files(load_settings(SMOKE, [longer, "distil.enabled=false"]))
    assert len(no_student) == 3


def test_only_packages_that_are_not_installed_in_that_version_are_missing() -> None:
    def package(name: str, requirement: str) -> str:
        return f"encoders.{name}={{source: pretrained, package: {requirement}}}"

    settings = load_settings(
        SMOKE,
        [
            package("installed", f"pydantic=={version('pydantic')}"),
            package("other_version", "pydantic==0.0.1"),
            package("absent", "polydx-absent-weights==1.0"),
        ],
    )
    assert missing_packages(settings) == ["pydantic==0.0.1", "polydx-absent-weights==1.0"]


def test_describe_keeps_order_and_script() -> None:
    text = describe({"b": 1, "a": "肺炎"})
    assert "肺炎" in text
    assert list(json.loads(text)) == ["b", "a"]
