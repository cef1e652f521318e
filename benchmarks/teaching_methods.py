"""The ways of teaching that `benchmarks/teaching.py` compares, each as settings of the student."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from polydx.config import Distil, Settings, TransformerMember
from polydx.config.contradictions import contradictions
from polydx.errors import UserError

BASELINE = "soft targets"
PLAIN: dict[str, object] = {
    "teachers": "mean",
    "teacher_weights": {},
    "schedule": "fixed",
    "rare_power": 0.0,
    "absent_weight": 1.0,
    "bounded_weight": 0.0,
    "peers": 0,
    "assistant_layers": (),
    "generations": 0,
    "exits": "none",
    "int8_share": 0.0,
}
"""Soft targets alone."""
ALONE: dict[str, dict[str, object]] = {
    "labels alone": {"soft_weight": 0.0},
    "rare labels weigh more": {"rare_power": 0.5},
    "teacher-bounded": {"bounded_weight": 0.5},
    "one teacher a step (SKDBERT)": {"teachers": "sampled"},
    "teachers by score": {"teachers": "by_score"},
    "annealed temperature": {"schedule": "annealed"},
    "learned temperature (curriculum)": {"schedule": "learned"},
    "peer (DML)": {"peers": 1},
    "born again": {"generations": 1},
    "rounded as int8 (last half)": {"int8_share": 0.5},
}
LESSONS: dict[str, tuple[str, float]] = {
    "hint (FitNets)": ("hint", 1.0),
    "embedding (TinyBERT)": ("embedding", 1.0),
    "hidden states (TinyBERT)": ("hidden", 1.0),
    "attention (TinyBERT)": ("attention", 1.0),
    "first tokens (PKD)": ("patient", 1.0),
    "relations (MiniLM)": ("relations", 1.0),
    "attention transfer": ("attention_transfer", 1.0),
    "similarity-preserving": ("similarity", 1.0),
    "distances (RKD)": ("distance", 25.0),
    "angles (RKD)": ("angle", 50.0),
    "value and direction": ("value_direction", 1.0),
}
"""The lesson's setting and its weight: 1, or the paper's."""


class Method(NamedTuple):
    """A way of teaching: what it changes, as its settings are spelt; None for soft targets alone; and all settings."""

    setting: str | None
    distil: Distil


def methods(settings: Settings, depth: int) -> dict[str, Method]:
    """Settings of the student by method, soft targets alone first.

    Lessons come from the member that the student starts from, or the first on its encoder, of those with exact
    attention, and each of the student's layers learns from the uppermost of an even share of the teacher's layers, as
    in TinyBERT. An assistant is half-way between the student and its encoder in depth. Methods that this run has no
    teacher or layers for are left out, and so are those that contradict its other settings.

    Args:
        settings: The run's.
        depth: Layers of the student's encoder.
    """
    distil = settings.distil
    off = dict.fromkeys((name for name, _ in LESSONS.values()), 0.0) | {"teacher": None, "layers": ()}
    plain = distil.model_dump() | PLAIN | {"lessons": off}
    changes = {BASELINE: {}} | ALONE
    middle = (len(distil.layers) + depth) // 2
    if middle > len(distil.layers):
        changes["assistant"] = {"assistant_layers": tuple(range(middle))}
    able = [
        name
        for name, member in settings.members.items()
        if isinstance(member, TransformerMember)
        and member.encoder == distil.encoder
        and member.long_records.performer_features is None
    ]
    teacher = distil.start if distil.start in able else next(iter(able), None)
    if teacher is not None:
        count = len(distil.layers)
        layers = tuple((place + 1) * depth // count - 1 for place in range(count))
        for method, (name, weight) in LESSONS.items():
            changes[method] = {"lessons": off | {"teacher": teacher, "layers": layers, name: weight}}
    known = {
        method: Method(_spelt(change, off), Distil.model_validate(plain | change)) for method, change in changes.items()
    }
    return {name: method for name, method in known.items() if _can_run(settings, method.distil)}


def _can_run(settings: Settings, distil: Distil) -> bool:
    """Whether `load_settings` would take these settings of the student beside the run's others."""
    return not any(contradictions(settings.model_copy(update={"distil": distil})))


def _spelt(change: Mapping[str, object], off: Mapping[str, object]) -> str | None:
    """A change as settings; of lessons those that are on, the layers apart."""
    spelt = []
    for name, value in change.items():
        if isinstance(value, dict):
            named = {key: weight for key, weight in value.items() if weight != off[key] and key != "layers"}
            spelt += [f"{name}.{key}={weight}" for key, weight in named.items()]
        else:
            spelt.append(f"{name}={json.dumps(value)}")
    return ", ".join(spelt) or None


def pick(known: Mapping[str, Method], names: Sequence[str]) -> dict[str, Method]:
    """Some methods by name, the baseline among them; all where none is named.

    Raises:
        UserError: There is no such method.
    """
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError("--method", f"there is no {unknown[0]!r}", f"choose from {', '.join(known)}")
    return {name: method for name, method in known.items() if not names or name in {BASELINE, *names}}
