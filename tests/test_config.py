from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from polydx.config import Encoder, LinearMember, Section, Settings, TransformerMember, sections
from polydx.errors import UserError
from polydx.resolve import load_settings

CONFIGS = Path(__file__).parents[1] / "configs"
SHIPPED = {"default", "smoke", "huawei", "ohsumed", "gaiic"}
ENTRY_DEFAULTS = {
    "encoder_defaults": Encoder,
    "transformer_defaults": TransformerMember,
    "linear_defaults": LinearMember,
}
WITHOUT_DEFAULT = {("transformer_defaults", "encoder")}
"""No encoder is a good guess: each transformer member names its own."""


def fields(model: type[Section], key: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every setting of a model by its path; sections that may be null count as one setting."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from fields(field.annotation, (*key, name))
        else:
            yield (*key, name)


def keys(tree: Mapping[str, Any], known: set[tuple[str, ...]], key: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of a tree by its path, down to the known settings."""
    for name, value in tree.items():
        here = (*key, name)
        if isinstance(value, dict) and here not in known:
            yield from keys(value, known, here)
        else:
            yield here


def test_base_spells_out_exactly_the_fields() -> None:
    base = yaml.safe_load((CONFIGS / "base.yaml").read_text(encoding="utf-8"))
    known = set(fields(Settings))
    known |= {(name, *key) for name, model in ENTRY_DEFAULTS.items() for key in fields(model)}
    written = list(keys(base, known))
    assert len(written) > 100
    assert set(written) == known - WITHOUT_DEFAULT


def test_every_field_has_a_meaning() -> None:
    visited = 0
    for section in sections():
        for name, field in section.model_fields.items():
            visited += 1
            described = field.description or (isinstance(field.annotation, type) and field.annotation.__doc__)
            assert described or section is Settings, f"{section.__name__}.{name}"
    assert visited > 100


def test_shipped_configurations_are_the_known_ones() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == SHIPPED | {"base"}


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_shipped_configuration_loads_under_its_own_name(name: str) -> None:
    settings = load_settings(CONFIGS / f"{name}.yaml")
    assert settings.run.name == name
    assert {member.kind for member in settings.members.values()} == {"transformer", "linear"}
    assert settings.distil.enabled
    assert settings.pseudo.rounds == 1


def test_settings_are_frozen() -> None:
    settings = load_settings(CONFIGS / "smoke.yaml")
    with pytest.raises(ValueError, match="frozen"):
        settings.run.seed = 1  # type: ignore[misc]


def test_a_teacher_whose_own_attention_lessons_would_not_show_is_refused() -> None:
    performer, hint = "members.bert_fgm.long_records.performer_features=16", "distil.lessons.hint=1.0"
    assert load_settings(CONFIGS / "smoke.yaml", [performer]).distil.start == "bert_fgm", "its weights may be had"
    load_settings(CONFIGS / "smoke.yaml", ["distil.lessons.teacher=bert_fgm", hint])
    problem = r"distil\.lessons\.teacher: is 'bert_fgm', but lessons ignore its long_records\.performer_features"
    with pytest.raises(UserError, match=problem):
        load_settings(CONFIGS / "smoke.yaml", [performer, "distil.lessons.teacher=bert_fgm", hint])


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("stack.neighbour_widths=[3, 10, 3]", "names 3 twice: keep one of them"),
        ("stack.candidates=[mean, weighted, mean]", "names mean twice: keep one of them"),
        ("submit.label_delimiter=''", "String should have at least 1 character"),
        ('submit.label_delimiter="\\r"', "String should match pattern"),
        ('submit.label_delimiter="\\n"', "String should match pattern"),
    ],
)
def test_values_that_no_stage_can_use_are_refused(override: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        load_settings(CONFIGS / "smoke.yaml", [override])
