"""From a configuration file and `key=value` arguments to checked settings.

Every fault is a `UserError` that names the file and line, or the argument, it came from.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from polydx.artifacts import write_text
from polydx.config import Settings, sections
from polydx.config.contradictions import Key, contradictions
from polydx.errors import UserError

BASE = "base.yaml"
ENTRY_DEFAULTS = {"transformer": "transformer_defaults", "linear": "linear_defaults"}
ENCODER_DEFAULTS = "encoder_defaults"
NAMED_ENTRIES = ("encoders", "members")
LONGEST_SHOWN = 60
"""Characters of a value that an error shows."""

Tree = dict[str, Any]


def load_settings(path: Path, overrides: Sequence[str] = ()) -> Settings:
    """Read a configuration, lay it over `base.yaml`, apply `key=value` arguments, and check everything.

    Args:
        path: A YAML file of differences from the `base.yaml` beside it, or the resolved `settings.json` of a run.
        overrides: Arguments such as `split.folds=3`; the value is YAML.

    Raises:
        UserError: For the first fault found.
    """
    places: dict[Key, str] = {}
    tree = _read(path, places)
    if path.suffix != ".json":
        base_places: dict[Key, str] = {}
        tree = _merge(_read(path.with_name(BASE), base_places), tree)
        places = base_places | places
    for override in overrides:
        _apply(tree, override, places)
    places = _lay_over_defaults(tree, places)
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        raise _first_fault(error, places, path) from None
    for key, problem, fix in contradictions(settings):
        raise UserError(f"{_place(key, places, path)}: {'.'.join(key)}", problem, fix)
    return settings


def write_settings(settings: Settings, target: Path) -> None:
    """Write resolved settings, unless the file already says the same: its age then tells when they changed."""
    text = json.dumps(settings.model_dump(mode="json"), ensure_ascii=False, indent=1) + "\n"
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        write_text(target, text)


def _read(path: Path, places: dict[Key, str]) -> Tree:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        fix = "check the path; examples lie in configs/"
        if path.name == BASE:
            fix = "a configuration lies beside it: put yours into configs/"
        raise UserError(str(path), "no such configuration file", fix) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(str(path), f"cannot be read ({type(error).__name__})", "give a UTF-8 text file") from None
    try:
        loader = yaml.CSafeLoader(text)
        node = loader.get_single_node()
        value = loader.construct_document(node) if node is not None else None
    # An impossible date, such as 2022-13-45, is a ValueError.
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise UserError(f"{path}{line}", "is not valid YAML", "check indentation, colons and quotes there") from None
    if not isinstance(value, dict) or node is None:
        raise UserError(str(path), "holds no settings", "write key: value lines, as in configs/base.yaml")
    _note_places(node, (), path, places)
    return value


def _note_places(node: yaml.Node, key: Key, path: Path, places: dict[Key, str]) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for name, child in node.value:
        place = f"{path}:{name.start_mark.line + 1}"
        if name.value in seen:
            raise UserError(place, f"the key {name.value!r} stands twice", "keep one of the two")
        seen.add(name.value)
        places[(*key, name.value)] = place
        _note_places(child, (*key, name.value), path, places)


def _merge(below: Tree, above: Mapping[str, Any]) -> Tree:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _apply(tree: Tree, override: str, places: dict[Key, str]) -> None:
    name, equals, text = override.partition("=")
    if not equals or not name:
        raise UserError(f"argument {override!r}", "is not key=value", "write for example split.folds=3")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        raise UserError(f"argument {override!r}", "its value is not valid YAML", "quote it") from None
    *parents, last = name.split(".")
    here = tree
    for depth, parent in enumerate(parents):
        if depth >= 2 and parents[0] in NAMED_ENTRIES:
            # What the entry itself doesn't say comes from its defaults, which are laid under it later.
            here.setdefault(parent, {})
        if not isinstance(here.get(parent), dict):
            section = ".".join(parents[: depth + 1])
            fix = f"set it whole, as {section}={{…}}" if parent in here else _suggest(parent, here)
            raise UserError(f"argument {override!r}", f"there is no section {section!r}", fix)
        here = here[parent]
    if value is None and parents in (["members"], ["encoders"]):
        if last not in here:
            raise UserError(f"argument {override!r}", f"there is no {last!r} to remove", _suggest(last, here))
        del here[last]
    else:
        here[last] = (
            _merge(here[last], value) if isinstance(here.get(last), dict) and isinstance(value, dict) else value
        )
    _note_argument(value, (*parents, last), f"argument {override!r}", places)


def _note_argument(value: object, key: Key, place: str, places: dict[Key, str]) -> None:
    places[key] = place
    if isinstance(value, dict):
        for name, child in value.items():
            _note_argument(child, (*key, str(name)), place, places)


def _lay_over_defaults(tree: Tree, places: dict[Key, str]) -> dict[Key, str]:
    """Complete every encoder and member from the defaults of its kind; defaults' places count for them."""
    defaults = {name: tree.pop(name, {}) for name in (ENCODER_DEFAULTS, *ENTRY_DEFAULTS.values())}
    for source, values in defaults.items():
        if not isinstance(values, dict):
            place = places[(source,)]
            raise UserError(
                f"{place}: {source}", f"is {_shown(values)}", "write key: value lines below it, or leave it out"
            )
    completed = dict(places)
    for group in NAMED_ENTRIES:
        entries = tree.get(group)
        if not isinstance(entries, dict):
            continue
        for name, entry in entries.items():
            if not isinstance(entry, dict):
                continue
            source = ENCODER_DEFAULTS if group == "encoders" else ENTRY_DEFAULTS.get(str(entry.get("kind")), "")
            entries[name] = _merge(defaults.get(source, {}), entry)
            for key, place in places.items():
                if key[0] == source:
                    completed.setdefault((group, name, *key[1:]), place)
    return completed


def _place(key: Key, places: Mapping[Key, str], path: Path) -> str:
    while key:
        if key in places:
            return places[key]
        key = key[:-1]
    return str(path)


def _suggest(name: str, known: Mapping[str, Any]) -> str:
    names = sorted(str(key) for key in known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else "choose one of " + (", ".join(names) or "none")


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."


def _first_fault(error: ValidationError, places: Mapping[Key, str], path: Path) -> UserError:
    fault = error.errors(include_url=False)[0]
    # A member's kind stands in pydantic's path as if it were a key, and so does the mark of a bad name.
    parts = [str(part) for part in fault["loc"] if part != "[key]"]
    if parts[0] == "members" and len(parts) > 2:
        del parts[2]
    key = tuple(parts)
    name = ".".join(key)
    place = _place(key, places, path)
    shown = _shown(fault["input"])
    if fault["type"] == "extra_forbidden":
        known = {field: None for section in sections() for field in section.model_fields}
        close = difflib.get_close_matches(key[-1], known, n=1)
        fix = f"did you mean {close[0]!r}?" if close else "remove it; configs/base.yaml shows every setting"
        return UserError(f"{place}: {name}", f"unknown setting (value {shown})", fix)
    if fault["type"] == "missing":
        return UserError(f"{place}: {name}", "is missing", "add it; configs/base.yaml shows every setting")
    if fault["type"] in ("union_tag_not_found", "union_tag_invalid"):
        place, kind = _place((*key, "kind"), places, path), fault["input"].get("kind")
        return UserError(f"{place}: {name}.kind", f"is {_shown(kind)}", f"use {' or '.join(ENTRY_DEFAULTS)}")
    message = fault["msg"].removeprefix("Input ").removeprefix("Value error, ")
    if fault["type"] == "tuple_type":
        message = f"write a list: [{shown.strip(chr(34))}]"
    return UserError(f"{place}: {name}", f"is {shown}", message)
