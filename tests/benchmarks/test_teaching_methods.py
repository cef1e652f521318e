"""Which ways of teaching a run's settings allow."""

from pathlib import Path

import pytest

from polydx.resolve import load_settings

SMOKE = Path(__file__).parents[2] / "configs" / "smoke.yaml"
HINT = "hint (FitNets)"


@pytest.fixture
def known(benchmark_module):
    """The methods of the smoke run with some changes; its encoder has one layer."""
    module = benchmark_module("teaching_methods")
    return lambda *changes: module.methods(load_settings(SMOKE, changes), depth=1)


def test_methods_that_contradict_the_runs_settings_are_left_out(known):
    whole = set(known())
    assert {"soft targets", "teachers by score", "learned temperature (curriculum)", HINT} <= whole
    assert whole - set(known("split.scheme=holdout")) == {"teachers by score"}
    for temperature in (1.0, 10.0):
        assert whole - set(known(f"distil.temperature={temperature}")) == {"learned temperature (curriculum)"}


def test_lessons_come_from_a_member_with_exact_attention(known):
    performer = "members.bert_fgm.long_records.performer_features=16"
    lessons = {name for name, method in known().items() if method.distil.lessons.teacher == "bert_fgm"}
    assert HINT in lessons
    assert set(known()) - set(known(performer)) == lessons
    other = known(performer, "members.other={kind: transformer, encoder: small_bert}")
    assert {name for name, method in other.items() if method.distil.lessons.teacher == "other"} == lessons
