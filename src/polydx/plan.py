"""What a run of given settings consists of: its jobs, and the packages it needs beside the requirements."""

import json
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from polydx.config import Settings, Split
from polydx.model.reading import Reading
from polydx.stages.readings import member_readings, student_reading, tokens_name


class TokenFile(NamedTuple):
    """What a file of tokens is made of, beside the records: the encoder's tokenizer, and what is kept."""

    encoder: str
    reading: Reading


def fold_jobs(split: Split) -> int:
    """Number of fold models a member has in each round."""
    return 1 if split.scheme == "holdout" else split.folds * split.repeats


def jobs(settings: Settings) -> dict[str, int]:
    """Jobs of each stage, in the pipeline's order."""
    folds = fold_jobs(settings.split)
    rounds = settings.pseudo.rounds
    return {
        "clean": 1,
        "inspect": 1,
        "split": 1,
        "pretrain": len(settings.encoders),
        "tokens": len(token_files(settings)),
        "lower-states": len(lower_states(settings)),
        "finetune": len(settings.members) * (rounds + 1) * folds,
        "pseudo": rounds * folds,
        "distil": folds + 1 if settings.distil.enabled else 0,
        "stack": 1,
        "submit": 1,
    }


def token_files(settings: Settings) -> dict[str, TokenFile]:
    """By their names, the files of tokens that the members and the student read; who reads alike shares one."""
    readers = [
        TokenFile(member.encoder, reading)
        for member in settings.members.values()
        if member.kind == "transformer"
        for reading in member_readings(member)
    ]
    if settings.distil.enabled:
        readers.append(TokenFile(settings.distil.encoder, student_reading(settings.distil)))
    return {tokens_name(*reader): reader for reader in readers}


def lower_states(settings: Settings) -> dict[str, str]:
    """By the name of each file of frozen layers' states, a member that needs it; several may."""
    named = ((member.lower_states, name) for name, member in settings.members.items() if member.kind == "transformer")
    return {states: name for states, name in named if states is not None}


def missing_packages(settings: Settings) -> list[str]:
    """Requirements (`name==version`) of the encoders' weights that aren't installed, in the order of the encoders."""
    missing: list[str] = []
    for encoder in settings.encoders.values():
        if encoder.package is not None and not _installed(encoder.package):
            missing.append(encoder.package)
    return missing


def describe(summary: dict[str, object]) -> str:
    """Indented JSON, as every command prints its findings."""
    return json.dumps(summary, ensure_ascii=False, indent=1)


def _installed(requirement: str) -> bool:
    name, _, wanted = requirement.partition("==")
    try:
        return version(name) == wanted
    except PackageNotFoundError:
        return False
