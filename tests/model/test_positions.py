from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel

from polydx.model.encoders import load_encoder, save_folder
from polydx.model.positions import Extension, extend_positions, extended_table
from polydx.names import Architecture
from small_models import small_encoder


def new(architecture: Architecture) -> PreTrainedModel:
    return small_encoder(
        architecture,
        hidden_size=8,
        num_hidden_layers=1,
        intermediate_size=16,
        max_position_embeddings=6,
        hidden_dropout_prob=0.0,
    ).eval()


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 7), st.integers(0, 20))
def test_tables_equal_plain_references(old: int, more: int) -> None:
    table = torch.randn(old, 3, generator=torch.Generator().manual_seed(old))
    new = old + more
    tiled = extended_table(table, new, "tiled")
    assert torch.equal(tiled, torch.stack([table[place % old] for place in range(new)]))
    stretched = extended_table(table, new, "interpolated").numpy()
    places = np.linspace(0, old - 1, new)
    expected = np.stack([np.interp(places, np.arange(old), table[:, column].numpy()) for column in range(3)], axis=1)
    np.testing.assert_allclose(stretched, expected, rtol=0, atol=1e-5)


def test_a_table_is_never_shortened() -> None:
    with pytest.raises(ValueError, match="shorten"):
        extended_table(torch.zeros(4, 2), 3, "tiled")


@pytest.mark.parametrize("extension", ["tiled", "interpolated"])
@pytest.mark.parametrize("architecture", ["bert", "ernie"])
def test_an_extended_encoder_reads_longer_and_comes_back_from_its_folder(
    architecture: str, extension: Extension, tmp_path: Path
) -> None:
    encoder = new(architecture)
    short = torch.tensor([[5, 6, 7, 8, 9, 10]])
    before = encoder(input_ids=short).last_hidden_state
    extend_positions(encoder, 6, extension)
    assert encoder.config.max_position_embeddings == 6, "long enough: left alone"
    extend_positions(encoder, 15, extension)
    longer = torch.arange(5, 20)[None]
    with torch.inference_mode():
        found = encoder(input_ids=longer).last_hidden_state
    assert found.shape == (1, 15, 8)
    if extension == "tiled":
        torch.testing.assert_close(encoder(input_ids=short).last_hidden_state, before, rtol=0, atol=1e-6)
    save_folder(tmp_path / "encoder", encoder)
    with torch.inference_mode():
        again = load_encoder(tmp_path / "encoder", 0.0)(input_ids=longer).last_hidden_state
    assert torch.equal(again, found)
