"""The card beside a shipped student's weights: all that prediction needs beyond them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from polydx.artifacts import read_json, write_json
from polydx.contest.readers import ColumnRoles
from polydx.errors import SHIP_AGAIN, UserError
from polydx.names import Language

STUDENT_FILE = "polydx.json"


@dataclass(frozen=True)
class StudentCard:
    """What `STUDENT_FILE` holds; its keys are these names.

    Attributes:
        labels: Names, in the order of the logits.
        thresholds: One a label, in (0, 1].
        min_labels: Fewest labels of a record.
        max_labels: Most labels of a record.
        max_tokens: Longest sequence.
        language: Language of the records.
        columns: Roles of the raw columns; the fields of `ColumnRoles`.
        separator: Column separator of CSV input.
        encoding: Text encoding of the input.
        headings: Headings by section column.
        placeholders: Texts that stand for a missing one.
    """

    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    min_labels: int
    max_labels: int
    max_tokens: int
    language: Language
    columns: ColumnRoles
    separator: str
    encoding: str
    headings: Mapping[str, tuple[str, ...]]
    placeholders: tuple[str, ...]


def write_card(folder: Path, card: StudentCard) -> None:
    """Write the card into a student's folder."""
    write_json(folder / STUDENT_FILE, asdict(card))


def read_card(folder: Path) -> StudentCard:
    """Read the card of a shipped student.

    Raises:
        UserError: There is none, it isn't complete, or its labels and thresholds differ in number.
    """
    source = folder / STUDENT_FILE
    if not source.is_file():
        raise UserError(str(source), "is absent", "name the folder of a student that `polydx submit` shipped")
    try:
        fields: dict[str, Any] = read_json(source)
        columns = {key: _frozen(value) for key, value in fields.pop("columns").items()}
        headings = {column: tuple(texts) for column, texts in fields.pop("headings").items()}
        rest = {key: _frozen(value) for key, value in fields.items()}
        card = StudentCard(columns=ColumnRoles(**columns), headings=headings, **rest)
        labels, thresholds = len(card.labels), len(card.thresholds)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(str(source), f"isn't complete ({error})", SHIP_AGAIN) from error
    if labels != thresholds:
        raise UserError(str(source), f"has {labels} labels and {thresholds} thresholds", SHIP_AGAIN)
    return card


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
