"""Files of tokens: equal to encoding directly, and made again when, and only when, something behind them changed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from polydx.contest.records import TEXT
from polydx.errors import UserError
from polydx.model.encoders import load_tokenizer
from polydx.model.reading import Reading
from polydx.model.tokenizers import new_tokenizer
from polydx.model.tokens import encode
from polydx.paths import RunPaths
from polydx.stages import token_files
from polydx.stages.readings import tokens_name
from polydx.stages.token_files import open_tokens
from small_runs import small_run

READING = Reading("cut", 9)


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return small_run(tmp_path)


def file_of(paths: RunPaths, reading: Reading = READING) -> Path:
    return paths.tokens(tokens_name("small", reading))


def test_a_files_tokens_are_those_of_the_tokenizer_itself(paths: RunPaths) -> None:
    texts = pd.read_parquet(paths.records)[TEXT].tolist()
    expected = encode(load_tokenizer(paths.encoder("small")), texts, READING.max_tokens)
    for _ in ("made", "found"):
        tokens = open_tokens(paths, "small", READING)
        np.testing.assert_array_equal(tokens.ids, expected.ids)
        np.testing.assert_array_equal(tokens.starts, expected.starts)
        assert tokens.pad_id == expected.pad_id
    assert max(expected.lengths) == 9, "some are cut"


def same_bytes(paths: RunPaths) -> None:
    paths.records.write_bytes(paths.records.read_bytes())


def other_text(paths: RunPaths) -> None:
    table = pd.read_parquet(paths.records)
    table.loc[3, TEXT] = "word0"
    table.to_parquet(paths.records)


def other_vocabulary(paths: RunPaths) -> None:
    new_tokenizer("words", ["word0 word1"] * 2, 40).save_pretrained(paths.encoder("small"))


def other_weights(paths: RunPaths) -> None:
    weights = paths.encoder("small") / "model.safetensors"
    weights.write_bytes(bytes(len(weights.read_bytes())))


@pytest.mark.parametrize(
    ("change", "again"), [(same_bytes, False), (other_weights, False), (other_text, True), (other_vocabulary, True)]
)
def test_a_file_is_made_again_if_text_or_vocabulary_changed(
    paths: RunPaths, change: Callable[[RunPaths], None], again: bool
) -> None:
    before = open_tokens(paths, "small", READING).fingerprint()
    made = file_of(paths).stat()
    change(paths)
    after = open_tokens(paths, "small", READING).fingerprint()
    assert (after != before) == again
    assert (file_of(paths).stat().st_ino != made.st_ino) == again
    assert (file_of(paths).stat().st_mtime_ns != made.st_mtime_ns) == again


def test_a_file_of_other_code_is_made_again(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    open_tokens(paths, "small", READING)
    made = file_of(paths).stat()
    monkeypatch.setattr(token_files, "code_hash", lambda module: f"other {module}")
    open_tokens(paths, "small", READING)
    assert file_of(paths).stat().st_ino != made.st_ino


def test_a_file_cut_short_is_refused_until_it_is_removed(paths: RunPaths) -> None:
    open_tokens(paths, "small", READING)
    file = file_of(paths)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"small_\w+\.arrow: is no whole file of tokens .*; remove it"):
        open_tokens(paths, "small", READING)
    file.unlink()
    assert len(open_tokens(paths, "small", READING).lengths) == 40
