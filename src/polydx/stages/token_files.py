"""The tokens of all records, encoded once for all members, folds, rounds and students that read them alike."""

import hashlib
import sys
import time
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from polydx.model.encoders import load_tokenizer
from polydx.model.reading import Reading
from polydx.model.record_tokens import write_records
from polydx.model.token_file import read_tokens
from polydx.model.tokens import TokenTable, special_id
from polydx.paths import RunPaths
from polydx.provenance import code_hash
from polydx.stages.readings import tokens_name


def open_tokens(paths: RunPaths, encoder: str, reading: Reading) -> TokenTable:
    """Map all records' tokens; encode them first where there is no file, or it was made of anything else.

    Under the engine a job of its own has made the file. By hand, whoever comes first makes it; two at once write the
    same, and the later one's takes the other's place.

    Args:
        paths: The run's files.
        encoder: Name of the encoder whose tokenizer is used.
        reading: What is kept of each record.

    Raises:
        UserError: The tokenizer can't be read, or the file is damaged.
    """
    name = tokens_name(encoder, reading)
    target, tokenizer = paths.tokens(name), load_tokenizer(paths.encoder(encoder))
    made_of = _made_of(tokenizer, paths.records, reading)
    if target.exists():
        stored = read_tokens(target)
        if stored.made_of == made_of:
            return stored.table
    started = time.monotonic()
    shown = f"s5 tokens {name}"
    write_records(target, tokenizer, paths.records, reading, made_of, shown)
    table = read_tokens(target).table
    seconds = time.monotonic() - started
    print(f"{shown}: {len(table.ids)} tokens of {len(table.lengths)} records in {seconds:.1f} s", file=sys.stderr)
    return table


def _made_of(tokenizer: PreTrainedTokenizerBase, records: Path, reading: Reading) -> str:
    """Fingerprint of everything that the tokens depend on; the records' file counts as a whole."""
    with records.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(tokenizer.backend_tokenizer.to_str().encode())
    special = [special_id(tokenizer, name) for name in ("pad", "cls", "sep")]
    digest.update(f"{special} {reading.key} {code_hash('polydx.model.record_tokens')}".encode())
    return digest.hexdigest()
