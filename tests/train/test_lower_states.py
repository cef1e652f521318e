import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from polydx.artifacts import read_json, write_json
from polydx.model.frozen import freeze_lower, run_below
from polydx.model.tokens import TokenTable
from polydx.train import lower_states as module
from polydx.train.lower_states import LowerStates, fingerprint, read_lower_states, write_lower_states
from small_models import small_encoder

FROZEN, TEXTS, WIDTH = 2, 40, 16


@pytest.fixture(scope="module")
def encoder() -> PreTrainedModel:
    encoder = small_encoder(num_hidden_layers=3, hidden_size=WIDTH, hidden_dropout_prob=0.5)
    freeze_lower(encoder, FROZEN, "place")
    return encoder


@pytest.fixture(scope="module")
def tokens() -> TokenTable:
    draw = np.random.default_rng(0)
    lengths = draw.integers(3, 17, TEXTS)
    ids = draw.integers(5, 30, lengths.sum()).astype(np.int32)
    return TokenTable(ids, np.concatenate([[0], np.cumsum(lengths)]), 0)


def states_of(encoder: PreTrainedModel, tokens: TokenTable, folder: Path) -> LowerStates | None:
    write_lower_states(folder, encoder, FROZEN, tokens, name="states", device=torch.device("cpu"), bf16=False)
    return read_lower_states(folder, tokens.lengths)


def test_a_batch_is_what_the_layers_make_of_it(encoder: PreTrainedModel, tokens: TokenTable, tmp_path: Path) -> None:
    states = states_of(encoder, tokens, tmp_path / "states")
    assert states is not None
    for batch in np.array_split(np.random.default_rng(2).permutation(TEXTS), 7):
        input_ids, attention_mask = tokens.pad(batch)
        expected = run_below(encoder, FROZEN, input_ids, attention_mask) * attention_mask[..., None]
        # Half a unit in the last place of float16, for entries below 4.
        torch.testing.assert_close(states.pad(batch), expected.detach(), rtol=0, atol=2**-10)


def test_states_that_are_too_many_are_not_kept(
    encoder: PreTrainedModel, tokens: TokenTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = int(tokens.starts[-1]) * WIDTH * 2
    monkeypatch.setattr(module, "MOST_BYTES", needed)
    assert states_of(encoder, tokens, tmp_path / "states") is not None
    monkeypatch.setattr(module, "MOST_BYTES", needed - 1)
    assert states_of(encoder, tokens, tmp_path / "states") is None
    assert [file.name for file in (tmp_path / "states").iterdir()] == ["lower_states.json"]
    assert read_json(tmp_path / "states" / "lower_states.json")["kept"] is False


def test_the_fingerprint_follows_tokens_and_frozen_weights_alone(encoder: PreTrainedModel, tokens: TokenTable) -> None:
    first = fingerprint(encoder, FROZEN, tokens)
    assert fingerprint(encoder, FROZEN, replace(tokens, side=np.ones((TEXTS, 2), dtype=np.float32))) == first
    ids, starts = tokens.ids.copy(), tokens.starts.copy()
    ids[-1] += 1
    starts[1] += 1
    for other in (replace(tokens, ids=ids), replace(tokens, starts=starts)):
        assert fingerprint(encoder, FROZEN, other) != first
    changed = {"embeddings.LayerNorm.bias": True, "encoder.layer.1.output.dense.bias": True}
    for name, counts in (changed | {"encoder.layer.2.output.dense.bias": False}).items():
        moved = copy.deepcopy(encoder)
        moved.get_parameter(name).data[0] += 1e-6
        assert (fingerprint(moved, FROZEN, tokens) != first) == counts, name
    assert fingerprint(encoder, FROZEN - 1, tokens) != first


def test_states_know_what_they_were_made_of(encoder: PreTrainedModel, tokens: TokenTable, tmp_path: Path) -> None:
    states = states_of(encoder, tokens, tmp_path / "states")
    assert states is not None and states.made_of == fingerprint(encoder, FROZEN, tokens)
    report = tmp_path / "states" / "lower_states.json"
    older = read_json(report)
    del older["made_of"]
    write_json(report, older)
    states = read_lower_states(tmp_path / "states", tokens.lengths)
    assert states is not None and states.made_of == ""
