"""A tiny member fine-tuned end to end in every mode of long records, with every head, and read back to predict."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from polydx.artifacts import read_array, read_json
from polydx.config import Compute, Pseudo, TransformerMember
from polydx.contest.records import (
    AGE_YEARS,
    DUPLICATE_GROUP,
    ID,
    LABELS,
    PART,
    PART_ENDS,
    SECTION_PREFIX,
    SEX,
    TEST,
    TEXT,
    TRAIN,
)
from polydx.errors import UserError
from polydx.model.classifier import load_classifier
from polydx.model.encoders import load_encoder
from polydx.model.reading import Reading, load_reading
from polydx.model.tokenizers import new_tokenizer
from polydx.paths import FoldFiles, RunPaths
from polydx.stages import s5_finetune
from polydx.stages.members.design import new_model
from polydx.stages.readings import prediction_reading, training_reading
from polydx.stages.token_files import open_tokens
from polydx.text.sections import compose
from polydx.train.classification import predict_probabilities
from small_models import write_small_encoder
from small_runs import tiny_paths, write_inputs

BASE = yaml.safe_load((Path(__file__).parents[3] / "configs" / "base.yaml").read_text(encoding="utf-8"))
COMPUTE = Compute.model_validate(BASE["compute"] | {"cores": 1, "device": "cpu", "checkpoint_seconds": 1e9})
TRAINING, TESTED = 12, 4
POSITIONS = 16


def member(**changes: Any) -> TransformerMember:
    long_records = BASE["transformer_defaults"]["long_records"] | changes.pop("long_records", {})
    small = {"encoder": "small", "max_tokens": 16, "epochs": 1, "batch_size": 4, "bf16": "never"}
    defaults = BASE["transformer_defaults"]
    return TransformerMember.model_validate(defaults | small | changes | {"long_records": long_records})


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """A run of two folds whose records have two sections of 3 to 24 words and an encoder of 16 positions."""
    root = tmp_path_factory.mktemp("run")
    paths = tiny_paths(root)
    draw = np.random.default_rng(0)
    words = [f"word{number}" for number in range(20)]
    rows = []
    for row in range(TRAINING + TESTED):
        first, second = (" ".join(draw.choice(words, draw.integers(3, 25))) for _ in range(2))
        composed = compose(None, None, [("", first), ("", second)], "tokens")
        rows.append(
            {
                ID: f"r{row}",
                DUPLICATE_GROUP: row,
                PART: TRAIN if row < TRAINING else TEST,
                LABELS: [name for name in "ab" if draw.random() < 0.5] if row < TRAINING else [],
                f"{SECTION_PREFIX}first": first,
                f"{SECTION_PREFIX}second": second,
                AGE_YEARS: np.nan if row % 5 == 0 else float(row),
                SEX: (None, "male", "female")[row % 3],
                TEXT: composed.text,
                PART_ENDS: composed.ends,
            }
        )
    table = pd.DataFrame(rows)
    write_inputs(paths, table, ("a", "b"), [row % 2 for row in range(TRAINING)])
    tokenizer = new_tokenizer("words", table[TEXT].tolist(), 40)
    write_small_encoder(paths.encoder("small"), tokenizer, max_positions=POSITIONS)
    return paths


def finetune(paths: RunPaths, settings: TransformerMember, name: str, labels: Pseudo | None = None) -> FoldFiles:
    number = 0 if labels is None else 1
    s5_finetune.run(paths, name, settings, number, 0, "tokens", labels, COMPUTE, False, seed=0)
    return paths.fold_model(name, number, 0)


MODES: dict[str, dict[str, Any]] = {
    "cut": {},
    "head_tail": {"long_records": {"mode": "head_tail", "head_share": 0.5}},
    "section_shares": {"long_records": {"mode": "section_shares"}},
    "chunks": {"max_tokens": 100, "long_records": {"mode": "chunks", "chunk_tokens": 12}, "pooling": "laat"},
    "streams": {"max_tokens": 32, "long_records": {"mode": "two_streams", "chunk_tokens": 16}, "pooling": "attention"},
    "two_encoders": {
        "max_tokens": 32,
        "long_records": {"mode": "two_streams", "chunk_tokens": 16, "own_encoders": True, "joiner_layers": 2},
    },
    "tiled": {"long_records": {"positions": "tiled", "prediction_tokens": 50}},
    "interpolated": {"max_tokens": 30, "long_records": {"positions": "interpolated", "prediction_tokens": 40}},
    "longer_chunks": {"long_records": {"mode": "chunks", "chunk_tokens": 16, "prediction_tokens": 64}},
    "performer": {"long_records": {"performer_features": 16}},
    "side": {"side_features": ["age", "sex", "lengths"], "pooling": "binary"},
    "perturbed": {
        "max_tokens": 100,
        "long_records": {"mode": "chunks", "chunk_tokens": 12},
        "adversary": BASE["transformer_defaults"]["adversary"] | {"method": "fgm", "start_epoch": 0.0},
    },
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_trains_and_what_it_saves_predicts_the_same(paths: RunPaths, mode: str) -> None:
    files = finetune(paths, member(**MODES[mode]), mode)
    written = read_array(files.test)
    assert written.shape == (TESTED, 2) and np.isfinite(written).all()
    assert read_json(files.report)["steps"] == 2

    model = load_classifier(files.model, 0.1).eval()
    tokens = open_tokens(paths, "small", load_reading(files.model))
    rows, cpu = np.arange(TRAINING, TRAINING + TESTED), torch.device("cpu")
    np.testing.assert_array_equal(predict_probabilities(model, tokens, rows, 2, cpu, bf16=False), written)


def test_modes_read_records_differently(paths: RunPaths) -> None:
    readings = {mode: prediction_reading(member(**changes)) for mode, changes in MODES.items()}
    seen = {mode: open_tokens(paths, "small", reading) for mode, reading in readings.items()}
    longest = {mode: int(tokens.lengths.max()) for mode, tokens in seen.items()}
    whole = max(len(text.split()) for text in pd.read_parquet(paths.records)[TEXT])
    assert longest["cut"] == longest["head_tail"] == longest["section_shares"] == 16
    assert longest["chunks"] == whole + 2 * -(-whole // 10), "every word, and two special tokens a chunk"
    assert longest["streams"] == 32
    assert len({seen[mode].ids.tobytes() for mode in ("cut", "head_tail", "section_shares")}) == 3


def test_the_next_round_goes_on_from_a_longer_table(paths: RunPaths) -> None:
    settings = member(**MODES["interpolated"])
    first = finetune(paths, settings, "goes_on")
    folder = paths.pseudo(1, 0)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "rows.npy", np.array([0]))
    np.save(folder / "soft_labels.npy", np.array([[0.9, 0.1]], dtype=np.float32))
    second = finetune(paths, settings, "goes_on", Pseudo.model_validate(BASE["pseudo"] | {"rounds": 1}))
    sizes = {load_encoder(files.model / "encoder", 0.1).config.max_position_embeddings for files in (first, second)}
    assert sizes == {40}


def test_readings_of_a_member() -> None:
    settings = member(
        max_tokens=24,
        side_features=["age"],
        long_records={"mode": "head_tail", "head_share": 0.5, "prediction_tokens": 40},
    )
    assert training_reading(settings) == Reading("head_tail", 24, 0.5, 512, ("age",))
    assert prediction_reading(settings) == Reading("head_tail", 40, 0.5, 512, ("age",))


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"max_tokens": 17}, "max_tokens"),
        ({"long_records": {"prediction_tokens": 17}}, "long_records.prediction_tokens"),
        ({"max_tokens": 99, "long_records": {"mode": "chunks", "chunk_tokens": 17}}, "long_records.chunk_tokens"),
    ],
)
def test_too_few_positions_are_the_users_fault(paths: RunPaths, changes: dict[str, Any], setting: str) -> None:
    encoder = load_encoder(paths.encoder("small"), 0.1)
    problem = f"members.m.{setting}: is 17; stay within the encoder's 16 positions"
    with pytest.raises(UserError, match=re.escape(problem)):
        new_model(encoder, "m", member(**changes), 2, None)


def test_training_rows_set_the_scale_of_the_numbers(paths: RunPaths) -> None:
    encoder = load_encoder(paths.encoder("small"), 0.1)
    side = np.array([[1.0], [3.0]], dtype=np.float32)
    model = new_model(encoder, "m", member(side_features=["age"]), 2, side)
    assert model.side is not None
    assert (model.side.mean.tolist(), model.side.deviation.tolist()) == ([2.0], [1.0])
