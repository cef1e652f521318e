"""The official labels, and what other spellings of them mean."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from polydx.contest.files import parse_json, read_text, shown
from polydx.contest.readers import RawRecord
from polydx.errors import UserError


@dataclass(frozen=True)
class LabelNames:
    """What a spelling means.

    Attributes:
        official: The labels, in the order of every array of the run.
        aliases: Official label by other spelling.
    """

    official: tuple[str, ...]
    aliases: Mapping[str, str]

    def resolve(self, spellings: Iterable[str]) -> "ResolvedLabels":
        """Return the official labels among `spellings`, and what became of the others."""
        spellings = list(spellings)
        meant = [self.aliases.get(spelling, spelling) for spelling in spellings]
        official = Counter(label for label in meant if label in self._order)
        unofficial = dict.fromkeys(label for label in meant if label not in self._order)
        return ResolvedLabels(
            labels=tuple(sorted(official, key=self._order.__getitem__)),
            unofficial=tuple(unofficial),
            aliased=tuple(spelling for spelling in spellings if spelling in self.aliases),
            repeated=official.total() - len(official),
        )

    @cached_property
    def _order(self) -> dict[str, int]:
        return {label: index for index, label in enumerate(self.official)}


@dataclass(frozen=True)
class ResolvedLabels:
    """Labels of one record.

    Attributes:
        labels: Official labels, in official order, each once.
        unofficial: Labels outside the official list.
        aliased: Spellings that aliases replaced.
        repeated: How many labels stood there more than once.
    """

    labels: tuple[str, ...]
    unofficial: tuple[str, ...]
    aliased: tuple[str, ...]
    repeated: int


def read_aliases(path: Path) -> dict[str, object]:
    """Read aliases: a JSON object of labels by other spelling.

    Raises:
        UserError: The file can't be read or is no object.
    """
    aliases = parse_json(read_text(path, "utf-8", "contest.aliases"), str(path))
    if not isinstance(aliases, dict):
        raise UserError(str(path), f"holds {shown(aliases)}, not an object", 'write {"spelling": "official label", …}')
    return aliases


def check_aliases(aliases: Mapping[str, object], official: Sequence[str], path: Path) -> dict[str, str]:
    """Return the aliases when each stands for an official label and replaces none.

    Raises:
        UserError: One doesn't.
    """
    checked: dict[str, str] = {}
    for spelling, label in aliases.items():
        place = f"{path}, alias {shown(spelling)}"
        if not isinstance(label, str) or label not in official:
            raise UserError(place, f"{shown(label)} is no known label", "name an official label, letter by letter")
        if spelling in official:
            raise UserError(place, "is an official label itself", "take the alias out")
        checked[spelling] = label
    return checked


def refuse_unofficial(records: Iterable[RawRecord], names: LabelNames, column: str) -> None:
    """Refuse the first label that is not official.

    Raises:
        UserError: There is one.
    """
    for record in records:
        for label in names.resolve(record.labels).unofficial:
            raise UserError(
                f"{record.place}, field {column}",
                f"{shown(label)} is not in the official list",
                "correct it, add it to contest.labels or contest.aliases, or set clean.unofficial_labels=drop",
            )
