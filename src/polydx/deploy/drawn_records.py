"""Real records that a student is timed on: drawn from a table, cleaned and cut as `polydx predict` does it."""

from pathlib import Path

import numpy as np

from polydx.deploy.onnx_runtime import Batch
from polydx.deploy.raw_records import refuse_stream, sound_records, take_survey
from polydx.deploy.student_model import LoadedStudent
from polydx.deploy.timed_batches import TimedBatches
from polydx.model.tokens import IntArray, TokenTable, encode


def draw_records(student: LoadedStudent, source: Path, most: int) -> TokenTable:
    """Tokens of at most `most` records of a table, drawn at random and kept in its order.

    Raises:
        UserError: The table can't be read twice, has no record, or a malformed one.
    """
    refuse_stream(source)
    survey = take_survey(source, student.card)
    survey.refuse_faults(source, "mend them")
    drawn = set(np.random.default_rng(0).permutation(survey.records)[:most].tolist())
    records = enumerate(sound_records(source, student.card))
    texts = [student.text(record) for place, record in records if place in drawn]
    return encode(student.tokenizer, texts, student.card.max_tokens)


def batches_of(tokens: TokenTable, batch: int, ones: int) -> TimedBatches:
    """All records in order of length, `batch` a batch, and at most `ones` of them alone, of all lengths alike."""
    by_length = np.argsort(tokens.lengths, kind="stable")
    alone = min(ones, len(by_length))
    spread = by_length[((np.arange(alone) + 0.5) * len(by_length) / alone).astype(np.int64)]

    def padded(rows: IntArray) -> Batch:
        input_ids, attention_mask = tokens.pad(rows)
        return input_ids.numpy(), attention_mask.numpy()

    return TimedBatches(
        [padded(spread[place : place + 1]) for place in range(alone)],
        [padded(by_length[start : start + batch]) for start in range(0, len(by_length), batch)],
    )
