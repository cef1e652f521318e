"""What a longer record costs: training time a token from 512 to 8,192 tokens, for each way to read it.

    python benchmarks/long_records.py --threads 1 --repeats 3

A small encoder of random weights takes forward and backward passes over one record with a LAAT head: whole under exact
attention (positions tiled), in chunks of 512 tokens, and whole under linear attention (Performer). Cost that grows
linearly has the same time a token at every length. What counts is the processor time of the fastest repeat, all modes
taken in turn, so that a busy machine disturbs little. The last line is JSON: milliseconds a thousand tokens, and for
each mode the ratio of 8,192 tokens to 512.
"""

import argparse
import json
import time

import torch
from transformers import BertConfig, BertModel

from polydx.model.classifier import Design, TextClassifier
from polydx.model.positions import extend_positions
from polydx.train.device import prepare

LENGTHS = (512, 1024, 2048, 4096, 8192)
LABELS, VOCABULARY, TRAINED_AT = 52, 1000, 512
DESIGNS = {
    "exact": Design(),
    "chunks": Design(mode="chunks", chunk_tokens=TRAINED_AT),
    "performer": Design(performer_features=128),
}


def new_model(design: Design) -> TextClassifier:
    """Two layers of width 128 and two heads, of random weights."""
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=512,
        max_position_embeddings=TRAINED_AT,
        attention_probs_dropout_prob=0.0,
    )
    encoder = BertModel(config, add_pooling_layer=False)
    if design.mode == "cut":
        extend_positions(encoder, max(LENGTHS), "tiled")
    return TextClassifier(encoder, LABELS, "laat", 0.1, design).train()


def seconds(model: TextClassifier, tokens: int) -> float:
    """Processor time of one forward and one backward pass over one record."""
    input_ids = torch.randint(5, VOCABULARY, (1, tokens), generator=torch.Generator().manual_seed(tokens))
    started = time.process_time()
    model(input_ids, torch.ones_like(input_ids)).square().sum().backward()
    return time.process_time() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    prepare(arguments.threads, seed=0)
    models = {name: new_model(design) for name, design in DESIGNS.items()}
    for model in models.values():
        seconds(model, LENGTHS[0])
    fastest = {(name, tokens): float("inf") for tokens in LENGTHS for name in DESIGNS}
    for _ in range(arguments.repeats):
        for name, tokens in fastest:
            fastest[name, tokens] = min(fastest[name, tokens], seconds(models[name], tokens))

    cost = {name: [1e6 * fastest[name, tokens] / tokens for tokens in LENGTHS] for name in DESIGNS}
    print("milliseconds of processor time a thousand tokens, forward and backward")
    print(f"{'tokens':>10}" + "".join(f"{tokens:>9}" for tokens in LENGTHS))
    for name, costs in cost.items():
        print(f"{name:>10}" + "".join(f"{value:>9.1f}" for value in costs))
    figures = {name: [round(value, 2) for value in costs] for name, costs in cost.items()}
    ratios = {f"ratio_{name}": round(costs[-1] / costs[0], 3) for name, costs in cost.items()}
    print(json.dumps({"tokens": LENGTHS, **figures, **ratios}))


if __name__ == "__main__":
    main()
