"""What a perturbed step costs, against the textbook implementation that contest code copies.

    python benchmarks/perturbation_cost.py

Both run in one process on one small BERT with random weights, in turn, on the same batches with the same dropout masks,
so their gradients must agree. Prints a table, then one line of JSON: medians over rounds of the ratio ours / textbook
(wall clock, which `ratio_fgm` and `ratio_pgd` repeat, and processor time, with quartiles), peak tensor memory, and the
largest difference of any gradient.
"""

import argparse
import json
import statistics
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import BertConfig, BertModel

from polydx.model.classifier import TextClassifier
from polydx.train.device import prepare
from polydx.train.losses import bce
from polydx.train.perturbations.embeddings import EmbeddingPoint
from polydx.train.perturbations.fgm import FGM
from polydx.train.perturbations.pgd import PGD

EPSILON, ALPHA, STEPS = 1.0, 0.3, 3
LABELS = 52
VOCABULARY = 21128
"""As the Chinese BERTs have it."""

LossHere = Callable[[], Tensor]
Step = Callable[[LossHere], None]


class TextbookFGM:
    """Copy the table, step along its gradient, run a full pass, copy it back."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.backup: dict[str, Tensor] = {}

    def tables(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The word embeddings, by name."""
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad and "word_embeddings" in name:
                yield name, parameter

    def __call__(self, loss_here: LossHere) -> None:
        """Leave clean plus adversarial gradients in `.grad`."""
        loss_here().backward()
        for name, table in self.tables():
            self.backup[name] = table.data.clone()
            norm = torch.norm(table.grad)
            if norm != 0 and not torch.isnan(norm):
                table.data.add_(EPSILON * table.grad / norm)
        loss_here().backward()
        for name, table in self.tables():
            table.data = self.backup[name]
        self.backup = {}


class TextbookPGD(TextbookFGM):
    """Save all gradients; K times step, project, run a full pass; the clean gradients come back before the last."""

    def __call__(self, loss_here: LossHere) -> None:
        """Leave clean plus adversarial gradients in `.grad`."""
        loss_here().backward()
        saved = {name: p.grad.clone() for name, p in self.model.named_parameters() if p.grad is not None}
        for step in range(STEPS):
            for name, table in self.tables():
                if step == 0:
                    self.backup[name] = table.data.clone()
                norm = torch.norm(table.grad)
                if norm != 0 and not torch.isnan(norm):
                    table.data.add_(ALPHA * table.grad / norm)
                    table.data = self.project(name, table.data)
            if step != STEPS - 1:
                self.model.zero_grad()
            else:
                for name, parameter in self.model.named_parameters():
                    if name in saved:
                        parameter.grad = saved[name]
            loss_here().backward()
        for name, table in self.tables():
            table.data = self.backup[name]
        self.backup = {}

    def project(self, name: str, table: Tensor) -> Tensor:
        """Back into the ball around the clean table."""
        offset = table - self.backup[name]
        if torch.norm(offset) > EPSILON:
            offset = EPSILON * offset / torch.norm(offset)
        return self.backup[name] + offset


def ours(perturbation: FGM | PGD) -> Step:
    """One of the package's perturbations as a step."""

    def step(loss_here: LossHere) -> None:
        perturbation.backward(loss_here)

    return step


class PeakMemory(TorchDispatchMode):
    """Bytes of all tensor storages made inside the block and still alive, at their most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        found = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, Tensor):
                self.add(tensor.untyped_storage())
        return found

    def add(self, storage: torch.UntypedStorage) -> None:
        """Count a storage until it is freed."""
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:
            self.known.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self.remove, key, size).atexit = False

    def remove(self, key: int, size: int) -> None:
        """Count a storage no longer."""
        self.known.discard(key)
        self.now -= size


def new_model(arguments: argparse.Namespace) -> TextClassifier:
    """A BERT with random weights, in training mode: dropout is on."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=arguments.vocabulary,
        hidden_size=arguments.width,
        num_hidden_layers=arguments.layers,
        num_attention_heads=arguments.width // 64,
        intermediate_size=4 * arguments.width,
        attention_probs_dropout_prob=0.0,
    )
    return TextClassifier(BertModel(config, add_pooling_layer=False), LABELS, "mean", 0.1).train()


def new_loss(model: nn.Module, arguments: argparse.Namespace, seed: int) -> LossHere:
    """The loss of a random batch; every fourth row is half padding."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, arguments.vocabulary, (arguments.rows, arguments.tokens), generator=draw)
    ids[::4, arguments.tokens // 2 :] = 0
    targets = (torch.rand(arguments.rows, LABELS, generator=draw) < 0.1).float()
    weights = torch.ones(arguments.rows)
    return lambda: bce(model(ids, (ids != 0).long()), targets, weights)


def gradients(model: nn.Module, step: Step, loss_here: LossHere) -> list[Tensor]:
    """What a step leaves in `.grad`; the dropout masks are the same at every call."""
    model.zero_grad()
    torch.manual_seed(1)
    step(loss_here)
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def largest_difference(model: nn.Module, pair: Mapping[str, Step], loss_here: LossHere) -> float:
    """Between the gradients of the two implementations, dropout on."""
    first, second = (gradients(model, step, loss_here) for step in pair.values())
    return max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True))


def peak_bytes(model: nn.Module, step: Step, loss_here: LossHere) -> int:
    """Of one step's gradients, clean or perturbed, activations and copies; the weights themselves don't count."""
    model.zero_grad()
    with PeakMemory() as memory:
        step(loss_here)
    return memory.peak


def seconds(model: nn.Module, optimiser: torch.optim.Optimizer, step: Step, loss_here: LossHere) -> tuple[float, float]:
    """Wall clock and processor time of a whole training step."""
    wall, processor = time.perf_counter(), time.process_time()
    step(loss_here)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return time.perf_counter() - wall, time.process_time() - processor


def compare(model: TextClassifier, pair: Mapping[str, Step], arguments: argparse.Namespace) -> dict[str, Any]:
    """Figures of one method: `pair` holds `textbook` and `ours`."""
    loss_here = new_loss(model, arguments, 0)
    figures: dict[str, Any] = {
        "largest_difference": largest_difference(model, pair, loss_here),
        "peak_mib": {name: round(peak_bytes(model, step, loss_here) / 2**20, 1) for name, step in pair.items()},
    }
    model.zero_grad(set_to_none=True)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-5, fused=True)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in pair}
    for number in range(arguments.rounds + 1):
        loss_here = new_loss(model, arguments, number)
        order = list(pair) if number % 2 else list(pair)[::-1]
        for name in order:
            took = seconds(model, optimiser, pair[name], loss_here)
            if number > 0:  # The first round warms up.
                times[name].append(took)
    for index, clock in enumerate(("wall", "processor")):
        ratios = [ours[index] / text[index] for ours, text in zip(times["ours"], times["textbook"], strict=True)]
        low, median, high = statistics.quantiles(ratios, n=4)
        figures[f"ratio_{clock}"] = {"median": round(median, 3), "quartiles": [round(low, 3), round(high, 3)]}
    figures["seconds"] = {name: round(statistics.median(t[0] for t in times[name]), 3) for name in pair}
    return figures


def main() -> int:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vocabulary", type=int, default=VOCABULARY)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    prepare(arguments.threads, 0)
    model = new_model(arguments)
    point = EmbeddingPoint(model.word_embedding, "table")
    methods: dict[str, dict[str, Step]] = {
        "fgm": {"textbook": TextbookFGM(model), "ours": ours(FGM(point, EPSILON))},
        "pgd": {"textbook": TextbookPGD(model), "ours": ours(PGD(point, EPSILON, ALPHA, STEPS))},
    }
    found = {method: compare(model, pair, arguments) for method, pair in methods.items()}
    for method, figures in found.items():
        print(f"{method}:", *(f"{name} {value}" for name, value in figures.items()), sep="\n  ")
    ratios = {f"ratio_{method}": figures["ratio_wall"]["median"] for method, figures in found.items()}
    print(json.dumps(ratios | found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
