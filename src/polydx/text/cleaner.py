"""Cleans the text fields of a record and counts what it changed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from polydx.names import Language
from polydx.text.demographics import AgeSpelling, Sex, SexSpelling, parse_age, parse_sex
from polydx.text.normalise import Change, SectionCleaner
from polydx.text.sections import compose


@dataclass(frozen=True)
class CleanedFields:
    """The fields of one record.

    Attributes:
        sections: Text of each section, None where there is none.
        age_years: Years, or None.
        sex: The sex, or None.
        categories: None where missing.
        text: Sex, age and sections in one text, as models read it; "" where there is none of them.
        part_ends: Where each of these parts ends in `text`, in characters.
    """

    sections: tuple[str | None, ...]
    age_years: float | None
    sex: Sex | None
    categories: tuple[str | None, ...]
    text: str
    part_ends: tuple[int, ...]


class RecordCleaner:
    """Cleans records one by one.

    Attributes:
        section_changes: By section and kind of change, the number of texts changed so; `missing` counts those that
            came without text.
        age_spellings: Records by spelling of the age.
        sex_spellings: Records by spelling of the sex.
    """

    def __init__(
        self,
        sections: Sequence[str],
        headings: Mapping[str, tuple[str, ...]],
        placeholders: tuple[str, ...],
        language: Language,
    ) -> None:
        """Set up for records of given columns.

        Args:
            sections: Names of the text columns in reading order.
            headings: Headings by column; the first one names the section in the composed text.
            placeholders: Texts that stand for a missing one.
            language: How far normalising goes, and the words for sex and age.
        """
        self._language = language
        self._headings = tuple(headings[name][0] if headings.get(name) else "" for name in sections)
        self._cleaners = {name: SectionCleaner(headings.get(name, ()), placeholders, language) for name in sections}
        self._value_cleaner = SectionCleaner((), placeholders, language)
        self.section_changes = {name: _zeros("missing", *get_args(Change)) for name in sections}
        self.age_spellings = _zeros(*get_args(AgeSpelling))
        self.sex_spellings = _zeros(*get_args(SexSpelling))

    def clean(
        self, sections: Sequence[str | None], age: str | None, sex: str | None, categories: Sequence[str | None]
    ) -> CleanedFields:
        """Return the cleaned fields of one record, and count the changes."""
        texts: list[str | None] = []
        for (name, cleaner), raw in zip(self._cleaners.items(), sections, strict=True):
            text, changes = cleaner.clean(raw)
            self.section_changes[name].update(changes if raw and not raw.isspace() else {"missing"})
            texts.append(text)
        age_years, age_spelling = self.age(age)
        sex_meant, sex_spelling = self.sex(sex)
        self.age_spellings[age_spelling] += 1
        self.sex_spellings[sex_spelling] += 1
        composed = compose(sex_meant, age_years, list(zip(self._headings, texts, strict=True)), self._language)
        return CleanedFields(
            sections=tuple(texts),
            age_years=age_years,
            sex=sex_meant,
            categories=tuple(self._value_cleaner.clean(category)[0] for category in categories),
            text=composed.text,
            part_ends=composed.ends,
        )

    def age(self, written: str | None) -> tuple[float | None, AgeSpelling]:
        """Return an age in years, None where there is none, and how it was written."""
        return parse_age(self._value_cleaner.clean(written)[0])

    def sex(self, written: str | None) -> tuple[Sex | None, SexSpelling]:
        """Return the sex, None where there is none, and how it was written."""
        return parse_sex(self._value_cleaner.clean(written)[0])


def _zeros(*names: str) -> Counter[str]:
    """Return a counter whose keys stand in a fixed order, whatever comes first."""
    return Counter(dict.fromkeys(names, 0))
