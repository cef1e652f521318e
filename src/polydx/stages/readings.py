"""How the models that settings describe read records, and what the files of their tokens are called."""

from dataclasses import replace

from polydx.config import Distil, TransformerMember
from polydx.model.reading import Reading


def training_reading(member: TransformerMember) -> Reading:
    """How records are read while the member trains."""
    long = member.long_records
    return Reading(long.mode, member.max_tokens, long.head_share, long.chunk_tokens, member.side_features)


def prediction_reading(member: TransformerMember) -> Reading:
    """How records are read once it is trained: longer, if the settings say so."""
    reading = training_reading(member)
    longer = member.long_records.prediction_tokens
    return reading if longer is None else replace(reading, max_tokens=longer)


def member_readings(member: TransformerMember) -> tuple[Reading, ...]:
    """How records are read in training and, where that differs, afterwards."""
    return tuple(dict.fromkeys((training_reading(member), prediction_reading(member))))


def student_reading(distil: Distil) -> Reading:
    """How the student reads records: as a stock class does."""
    return Reading("cut", distil.max_tokens)


def tokens_name(encoder: str, reading: Reading) -> str:
    """Name of the file with all records' tokens (`RunPaths.tokens`): one for all that read alike by one encoder."""
    return f"{encoder}_{reading.key}"
