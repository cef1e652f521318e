"""MedBERT- and ERNIE-health-shaped checkpoints through the real contest's configuration, from folder to student."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForPreTraining,
    ErnieConfig,
    ErnieModel,
)

from polydx.artifacts import read_array, read_json, write_json
from polydx.model.encoders import load_encoder
from polydx.paths import ALL_ROWS

SHAPE = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072, "num_hidden_layers": 1}
"""Their own, but for the number of layers."""
VOCABULARIES = {"medbert": 21128, "ernie_health": 22608}
WORDS = ("发热", "咳嗽", "头痛", "腹痛", "高血压", "糖尿病", "否认", "3天", "10年")
LABELS = ("甲病", "乙病")
SMALL = (
    *(
        f"encoders.{name}.pretrain={{epochs: 1, max_tokens: 32, batch_size: 10, learning_rate: 5.0e-5}}"
        for name in VOCABULARIES
    ),
    "transformer_defaults={max_tokens: 32, epochs: 1, batch_size: 10}",
    "transformer_defaults.adversary={steps: 2, start_epoch: 0.0}",
    "split={scheme: holdout}",
    "pseudo.rounds=0",
    "distil={layers: [0], max_tokens: 32, epochs: 1, batch_size: 10}",
    "contest.labels=null",
)

Save = Callable[[dict[str, Tensor], Path], None]


def save_bin(weights: dict[str, Tensor], folder: Path) -> None:
    torch.save(weights, folder / "pytorch_model.bin")


def save_safetensors(weights: dict[str, Tensor], folder: Path) -> None:
    # Tied weights share their memory, which this format refuses.
    save_file({key: value.clone() for key, value in weights.items()}, folder / "model.safetensors")


def write_checkpoint(folder: Path, name: str, save: Save) -> dict[str, Tensor]:
    """Write a folder as the hub has it; returns the encoder's own weights."""
    torch.manual_seed(0)
    size = VOCABULARIES[name]
    medbert = name == "medbert"
    config = (
        BertConfig(vocab_size=size, layer_norm_eps=1e-12, **SHAPE)
        if medbert
        else ErnieConfig(vocab_size=size, layer_norm_eps=1e-5, **SHAPE)
    )
    weights = (BertForPreTraining(config) if medbert else ErnieModel(config)).state_dict()
    config.save_pretrained(folder)
    save(weights, folder)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set("".join(WORDS)))]
    tokens += [f"[unused{number}]" for number in range(size - len(tokens))]
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    prefix = "bert." if medbert else ""
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(f"{prefix}encoder.")}


def write_contest(folder: Path) -> None:
    draw = np.random.default_rng(0)
    folder.mkdir()
    for name, rows in (("train", 24), ("test", 6)):
        records = [
            {
                "emr_id": f"{name}{row}",
                "age": "48",
                "gender": "女",
                "chief_complaint": "".join(draw.choice(WORDS, 3)),
                "history_of_present_illness": "".join(draw.choice(WORDS, 8)),
                "past_history": None,
                "physical_examination": None,
                "supplementary_examination": None,
                "diagnosis": [LABELS[row % 2]],
            }
            for row in range(rows)
        ]
        write_json(folder / f"{name}.json", records)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    assert set(one) == set(other)
    return all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize(
    "formats",
    [
        {"medbert": save_bin, "ernie_health": save_safetensors},
        {"medbert": save_safetensors, "ernie_health": save_bin},
    ],
    ids=["medbert.bin", "ernie_health.bin"],
)
def test_checkpoints_are_trained_and_distilled(new_run, tmp_path: Path, formats: dict[str, Save]) -> None:  # type: ignore[no-untyped-def]
    write_contest(tmp_path / "contest")
    given, places = {}, []
    for name, save in formats.items():
        given[name] = write_checkpoint(tmp_path / name, name, save)
        places.append(f"encoders.{name}.path={tmp_path / name}")
    student_of = "ernie_health" if formats["ernie_health"] is save_bin else "medbert"
    run = new_run(
        tmp_path,
        "huawei.yaml",
        f"contest.folder={tmp_path / 'contest'}",
        *places,
        *SMALL,
        f"distil.encoder={student_of}",
        f"distil.start={student_of}",
    )
    run.do("clean", "split", "pretrain", "finetune", "distil")

    for name, weights in given.items():
        report = read_json(run.paths.encoder(name) / "pretraining.json")
        assert report["steps"] >= 2
        assert 0 < report["heldout_loss_after"] < report["heldout_loss_before"]
        pretrained = load_encoder(run.paths.encoder(name), 0.0)
        assert pretrained.config.vocab_size == VOCABULARIES[name]
        trained = {key: value for key, value in pretrained.state_dict().items() if key.startswith("encoder.")}
        assert not same(trained, weights)
        for key, value in trained.items():
            # A few steps away from the checkpoint, so neither it nor a fresh draw.
            torch.testing.assert_close(value, weights[key], rtol=0, atol=2e-3)
        report = read_json(run.paths.fold_model(name, 0, 0).report)
        assert report["steps"] == report["adversarial_steps"] == 2
        assert np.isfinite(report["final_loss"])
        assert np.isfinite(read_array(run.paths.fold_model(name, 0, 0).validation)).all()
    for fold in (0, ALL_ROWS):
        files = run.paths.student(fold)
        stock = AutoModelForSequenceClassification.from_pretrained(files.model)
        assert list(stock.config.id2label.values()) == sorted(LABELS)
        student = load_file(files.model / "model.safetensors")
        query = "encoder.layer.0.attention.self.query.weight"
        body = "bert" if student_of == "medbert" else "ernie"
        torch.testing.assert_close(student[f"{body}.{query}"], given[student_of][query], rtol=0, atol=1e-2)
        assert read_array(files.test).shape == (6, len(LABELS))
