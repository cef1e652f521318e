"""What the forms of a student are timed on; written once, and read by each form's process without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polydx.deploy.onnx_runtime import Batch


@dataclass(frozen=True)
class TimedBatches:
    """Token ids and their masks.

    Attributes:
        ones: Batches of one record, for the latency.
        batches: Batches of records of similar length, for the throughput.
    """

    ones: Sequence[Batch]
    batches: Sequence[Batch]


def random_batches(vocabulary: int, tokens: int, batch: int) -> TimedBatches:
    """One batch of `batch` records of `tokens` random tokens below `vocabulary`, and the first of them alone."""
    input_ids = np.random.default_rng(0).integers(0, vocabulary, (batch, tokens))
    attention_mask = np.ones_like(input_ids)
    return TimedBatches([(input_ids[:1], attention_mask[:1])], [(input_ids, attention_mask)])


def write_batches(timed: TimedBatches, target: Path) -> None:
    """Write them into an `.npz` file."""
    kinds = {"one": timed.ones, "batch": timed.batches}
    arrays = {f"{kind} {place}": np.stack(each) for kind in kinds for place, each in enumerate(kinds[kind])}
    np.savez(target, **arrays)  # type: ignore[arg-type]  # the stub takes the names for those of its options


def read_batches(source: Path) -> TimedBatches:
    """Read what `write_batches` wrote."""
    with np.load(source, allow_pickle=False) as arrays:

        def of(kind: str) -> list[Batch]:
            found = [arrays[name] for name in arrays.files if name.startswith(kind)]
            return [(input_ids, attention_mask) for input_ids, attention_mask in found]

        return TimedBatches(of("one"), of("batch"))
