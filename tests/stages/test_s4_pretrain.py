import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import BertConfig, BertForPreTraining, ErnieConfig, ErnieModel

from polydx.artifacts import read_json, write_json
from polydx.config import Compute, Encoder
from polydx.contest.records import DUPLICATE_GROUP, PART, TEXT
from polydx.errors import UserError
from polydx.model.encoders import load_encoder, load_tokenizer
from polydx.paths import RunPaths
from polydx.stages import s4_pretrain

WORDS = ["发热", "咳嗽", "头痛", "腹痛", "患者", "高血压", "糖尿病", "否认", "3天", "10年", ",", "。"]
PRETRAIN: dict[str, Any] = {
    "epochs": 2,
    "test_text": True,
    "max_tokens": 24,
    "batch_size": 8,
    "learning_rate": 5e-3,
    "weight_decay": 0.01,
    "warmup_share": 0.1,
    "mask_share": 0.15,
    "whole_words": True,
    "heldout_share": 0.1,
}
OWN: dict[str, Any] = {
    "source": "own",
    "path": None,
    "package": None,
    "architecture": "bert",
    "tokenizer": "characters",
    "vocabulary_size": 100,
    "layers": 1,
    "hidden_size": 32,
    "heads": 2,
    "intermediate_size": 64,
    "max_positions": 32,
    "pretrain": PRETRAIN,
}
OUTPUTS = {"config.json", "model.safetensors", "pretraining.json", "tokenizer.json", "tokenizer_config.json"}


def compute(seconds: float) -> Compute:
    return Compute(
        cores=1,
        threads=1,
        pretraining_threads=1,
        device="cpu",
        packing="auto",
        compile=False,
        checkpoint_seconds=seconds,
    )


def encoder(**changes: Any) -> Encoder:
    pretrain = PRETRAIN | changes.pop("pretrain", {})
    return Encoder.model_validate(OWN | changes | {"pretrain": pretrain})


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    draw = np.random.default_rng(0)
    rows = 120
    table = pd.DataFrame(
        {
            TEXT: ["".join(draw.choice(WORDS, 15)) for _ in range(rows)],
            PART: ["train"] * 60 + ["test"] * 20 + ["unlabelled"] * 40,
            DUPLICATE_GROUP: np.arange(rows) // 2,
        }
    )
    paths = RunPaths("run", runs=tmp_path / "runs", submissions=tmp_path / "submissions")
    paths.records.parent.mkdir(parents=True)
    table.to_parquet(paths.records, index=False)
    write_json(paths.labels, {"labels": []})
    return paths


def weights(paths: RunPaths, name: str) -> bytes:
    return (paths.encoder(name) / "model.safetensors").read_bytes()


def test_own_encoder_learns_and_is_written_whole(paths: RunPaths, capsys: pytest.CaptureFixture[str]) -> None:
    s4_pretrain.run(paths, "small", encoder(), "zh", compute(1e9), 0)
    folder = paths.encoder("small")
    assert {file.name for file in folder.iterdir()} == OUTPUTS
    report = read_json(folder / "pretraining.json")
    assert (report["encoder"], report["texts"], report["heldout_texts"]) == ("small", 120, 12)
    assert report["test_text"] is True
    assert report["heldout_loss_after"] < report["heldout_loss_before"] - 0.2
    tokenizer, model = load_tokenizer(folder), load_encoder(folder, 0.1)
    assert model.config.vocab_size == len(tokenizer)
    assert capsys.readouterr().err.splitlines()[-1].startswith("s4 pretrain: small, 120 texts, ")


def test_test_text_is_left_out_when_told(paths: RunPaths) -> None:
    s4_pretrain.run(paths, "small", encoder(pretrain={"test_text": False, "epochs": 1}), "zh", compute(1e9), 0)
    report = read_json(paths.encoder("small") / "pretraining.json")
    assert (report["texts"], report["test_text"]) == (100, False)


def test_same_seed_gives_the_same_bytes(paths: RunPaths) -> None:
    settings = encoder(pretrain={"epochs": 1})
    for name in ("small", "small", "other"):
        s4_pretrain.run(paths, name, settings, "zh", compute(1e9), 0)
        files = {file.name: file.read_bytes() for file in paths.encoder(name).iterdir()}
        files.pop("pretraining.json")
        if name == "small":
            first = files
    s4_pretrain.run(paths, "small", settings, "zh", compute(1e9), 0)
    again = {name: (paths.encoder("small") / name).read_bytes() for name in first}
    assert again == first
    assert files["model.safetensors"] != first["model.safetensors"]


CHILD = """
import sys
from pathlib import Path
from polydx.config import Compute, Encoder
from polydx.paths import RunPaths
from polydx.stages import s4_pretrain
encoder = Encoder.model_validate_json(sys.argv[2])
compute = Compute.model_validate_json(sys.argv[3])
s4_pretrain.run(RunPaths("run", runs=Path(sys.argv[1])), "small", encoder, "zh", compute, 0)
"""


def test_killed_and_resumed_gives_the_same_bytes(paths: RunPaths) -> None:
    settings = encoder(pretrain={"epochs": 10})
    often = compute(1e-9).model_dump_json()
    arguments = [sys.executable, "-c", CHILD, str(paths.runs), settings.model_dump_json(), often]
    child = subprocess.Popen(arguments, stderr=subprocess.DEVNULL, start_new_session=True)
    checkpoint = paths.checkpoints("pretrain-small")
    deadline = time.monotonic() + 300
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert checkpoint.exists() and not paths.encoder("small").exists()

    s4_pretrain.run(paths, "small", settings, "zh", compute(1e9), 0)
    resumed = weights(paths, "small")
    assert not checkpoint.exists()
    s4_pretrain.run(paths, "small", settings, "zh", compute(1e9), 0)
    assert weights(paths, "small") == resumed


def checkpoint_folder(folder: Path, architecture: str, vocabulary: int) -> Path:
    """A pretrained checkpoint: MedBERT's form has a masked-LM head, ERNIE-health's none."""
    shape = {"vocab_size": vocabulary, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    torch.manual_seed(0)
    if architecture == "bert":
        config = BertConfig(**shape, num_hidden_layers=1, max_position_embeddings=32)
        model = BertForPreTraining(config)
    else:
        config = ErnieConfig(**shape, num_hidden_layers=1, max_position_embeddings=32)
        model = ErnieModel(config)
    config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    characters = sorted(set("".join(WORDS)))
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters]))
    return folder


@pytest.mark.parametrize("architecture", ["bert", "ernie"])
def test_pretrained_encoder_goes_on_training(paths: RunPaths, tmp_path: Path, architecture: str) -> None:
    source = checkpoint_folder(tmp_path / "source", architecture, 50)
    settings = encoder(source="pretrained", path=str(source))
    s4_pretrain.run(paths, "hub", settings, "zh", compute(1e9), 0)
    report = read_json(paths.encoder("hub") / "pretraining.json")
    assert report["heldout_loss_after"] < report["heldout_loss_before"]
    trained, given = load_encoder(paths.encoder("hub"), 0.0), load_encoder(source, 0.0)
    assert not torch.equal(trained.embeddings.word_embeddings.weight, given.embeddings.word_embeddings.weight)
    assert load_tokenizer(paths.encoder("hub"))(WORDS)["input_ids"] == load_tokenizer(source)(WORDS)["input_ids"]


@pytest.mark.parametrize("architecture", ["bert", "ernie"])
def test_pretrained_encoder_is_kept_as_it_is(paths: RunPaths, tmp_path: Path, architecture: str) -> None:
    source = checkpoint_folder(tmp_path / "source", architecture, 50)
    settings = encoder(source="pretrained", path=str(source), pretrain={"epochs": 0})
    s4_pretrain.run(paths, "hub", settings, "zh", compute(1e9), 0)
    report = read_json(paths.encoder("hub") / "pretraining.json")
    assert (report["steps"], report["heldout_loss_after"]) == (0, report["heldout_loss_before"])
    assert (report["heldout_loss_before"] is None) == (architecture == "ernie")
    kept, given = load_encoder(paths.encoder("hub"), 0.0).state_dict(), load_encoder(source, 0.0).state_dict()
    assert all(torch.equal(kept[key], given[key]) for key in given)


def test_too_few_positions_are_an_error(paths: RunPaths, tmp_path: Path) -> None:
    source = checkpoint_folder(tmp_path / "source", "bert", 50)
    settings = encoder(source="pretrained", path=str(source), pretrain={"max_tokens": 33})
    with pytest.raises(UserError, match=r"encoders\.hub\.pretrain\.max_tokens: is 33; stay within"):
        s4_pretrain.run(paths, "hub", settings, "zh", compute(1e9), 0)
    assert not paths.encoder("hub").exists()


def test_encoders_are_compiled_when_told(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    compiled = compute(1e9).model_copy(update={"compile": True})
    with pytest.raises(UserError, match=r"compute\.compile: is true, but there is no C\+\+ compiler"):
        s4_pretrain.run(paths, "small", encoder(), "zh", compiled, 0)


def test_packed_texts_train_an_encoder_as_well(paths: RunPaths) -> None:
    losses = []
    for packing in ("off", "on"):
        chosen = compute(1e9).model_copy(update={"packing": packing})
        s4_pretrain.run(paths, "small", encoder(pretrain={"epochs": 1}), "zh", chosen, 0)
        losses.append(read_json(paths.encoder("small") / "pretraining.json")["heldout_loss_after"])
    assert losses[1] == pytest.approx(losses[0], abs=0.02)
