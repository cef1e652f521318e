"""Two processes on the CPU, started as launchers start them, train as one does.

Run as a program, this file is one of them: each trains all `CASES`, and process 0 writes what it got.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from polydx.errors import UserError
from polydx.model.classifier import TextClassifier
from polydx.model.encoders import new_encoder
from polydx.model.tokens import TokenTable
from polydx.train.classification import LabelledExamples, train_classifier
from polydx.train.device import prepare
from polydx.train.distributed import ALONE, Processes, join
from polydx.train.launcher import RANK_VARIABLE, SIZE_VARIABLE
from polydx.train.loop import Recipe
from polydx.train.losses.objective import LossShapes, Objective
from polydx.train.perturbations.awp import AWP
from polydx.train.perturbations.embeddings import EmbeddingPoint
from polydx.train.perturbations.fgm import FGM
from polydx.train.perturbations.freelb import FreeLB
from polydx.train.perturbations.interface import Perturbation
from polydx.train.perturbations.pgd import PGD
from polydx.train.perturbations.r_drop import RDrop
from polydx.train.perturbations.sam import SAM
from polydx.train.perturbations.vat import VAT
from small_models import EveryOther

ROWS, LABELS = 11, 3
RECIPE = Recipe(
    epochs=2,
    # The last batch of an epoch has one row, which two processes can't share; the others have a half more and less.
    batch_size=5,
    learning_rate=1e-4,
    head_learning_rate=1e-3,
    weight_decay=0.01,
    warmup_share=0.1,
    clip_norm=0.5,
    bf16=False,
    checkpoint_seconds=0.0,
    seed=3,
)
F1 = {"bce": 0.4, "soft_f1": 0.2, "clamped_soft_f1": 0.2, "sigmoid_f1": 0.2}
CASES: dict[str, dict[str, Any]] = {
    "bce": {},
    "bce, in micro-batches": {"accumulate": 2},
    "bce and averaged": {"average_decay": 0.9},
    "bce, the best epoch of an inner slice": {"inner": True, "patience": 1},
    "fgm on positions": {"adversary": "fgm", "target": "positions"},
    "fgm on the table": {"adversary": "fgm", "target": "table"},
    "F1 losses": {"losses": F1},
    "F1 losses, pgd on positions": {"losses": F1, "adversary": "pgd", "target": "positions"},
    "F1 losses, pgd on the table": {"losses": F1, "adversary": "pgd", "target": "table"},
    "F1 losses in micro-batches": {"losses": F1, "accumulate": 2},
    "F1 losses on soft targets": {"losses": F1, "soft": True},
    "freelb": {"adversary": "freelb"},
    "r_drop": {"adversary": "r_drop"},
    "awp, a row each": {"adversary": "awp", "batch_size": 2},
    "sam, a row each": {"adversary": "sam", "batch_size": 2},
    "a token budget": {"batch_tokens": 30},
}
CLIMB_ALONE = ("awp, a row each", "sam, a row each")
"""Each process moves the weights by its own rows' gradient, as a process alone does with each micro-batch's."""
CAN_DIFFER = "attention.self.key.bias"
"""It shifts all of a query's scores alike, so its gradient is rounding noise, which Adam scales up to whole steps."""


def train(
    checkpoint: Path,
    processes: Processes,
    *,
    dropout: float = 0.0,
    losses: Mapping[Any, float] | None = None,
    adversary: str | None = None,
    target: Any = "positions",
    inner: bool = False,
    soft: bool = False,
    **changes: Any,
) -> dict[str, Tensor]:
    """Weights of a tiny encoder and its head after training; the last checkpoint stays."""
    prepare(1, 0)
    encoder = new_encoder(
        "bert",
        vocabulary_size=30,
        layers=1,
        hidden_size=16,
        heads=2,
        intermediate_size=32,
        max_positions=16,
        dropout=dropout,
    ).base_model
    model = TextClassifier(encoder, LABELS, "mean", dropout)
    draw = np.random.default_rng(0)
    lengths = draw.integers(2, 12, ROWS)
    tokens = TokenTable(
        draw.integers(1, 30, lengths.sum()).astype(np.int32), np.concatenate([[0], lengths.cumsum()]), 0
    )
    # Of soft ones, three in ten make their label present.
    drawn = draw.random((ROWS, LABELS))
    targets = (0.7 * drawn if soft else drawn < 0.5).astype(np.float32)
    if adversary == "r_drop":
        model.head.dropout = EveryOther()
    point = EmbeddingPoint(model.word_embedding, target, processes.total)
    methods: dict[str | None, Perturbation | None] = {
        None: None,
        "fgm": FGM(point, 0.5),
        "pgd": PGD(point, 0.5, 0.3, 3),
        "vat": VAT(model, point, 0.1, 0.5, 1, 1.0),
        # From the clean point: a random start differs between processes.
        "freelb": FreeLB(EmbeddingPoint(model.word_embedding, "positions"), 3, 0.1, 0.0, 0.6),
        "awp": AWP(model.parameters(), 0.3, 0.1),
        "sam": SAM(model.parameters(), 0.3),
        "r_drop": RDrop(model, 2.0),
    }
    train_classifier(
        model,
        LabelledExamples(tokens, np.arange(ROWS), targets, np.zeros(ROWS, dtype=bool)),
        replace(RECIPE, **changes),
        name="tiny",
        device=processes.device,
        checkpoint=checkpoint,
        depends_on="",
        objective=Objective(losses or {"bce": 1.0}, {}, (0.0, 1.0), targets, LossShapes(), processes.total),
        pseudo_weight=lambda _progress: 0.0,
        adversary=methods[adversary],
        adversary_start_epoch=0.0,
        inner=np.arange(ROWS) % 3 == 0 if inner else None,
        processes=processes,
    )
    return {name: value.detach().clone() for name, value in model.state_dict().items() if CAN_DIFFER not in name}


def work(folder: Path) -> None:
    """What one of two processes does."""
    processes = join("cpu")
    assert (processes.rank, processes.size) == (int(os.environ[RANK_VARIABLE]), 2)
    assert torch.distributed.get_backend() == "gloo"
    own = folder / str(processes.rank)
    own.mkdir()
    results = {}
    for name, case in CASES.items():
        results |= {f"{name}/{key}": value for key, value in train(own / name, processes, **case).items()}
    for name in ("with dropout", "resumed"):
        weights = train(folder / "both", processes, dropout=0.3, losses=F1, adversary="vat", target="table")
        results |= {f"{name}/{key}": value for key, value in weights.items()}
    save_file(results, own / "weights.safetensors")
    try:
        processes.check(f"the job of process {processes.rank}")
    except RuntimeError as error:
        (own / "error").write_text(str(error))
    processes.leave()


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes wrote, each in a folder of its own."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    launched = {SIZE_VARIABLE: "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    # They import what the tests import, helpers included.
    launched["PYTHONPATH"] = os.pathsep.join(sys.path)
    started = [
        subprocess.Popen(
            [sys.executable, __file__, folder],
            env=os.environ | launched | {RANK_VARIABLE: rank, "LOCAL_RANK": rank},
            text=True,
            stderr=subprocess.PIPE,
        )
        for rank in ("0", "1")
    ]
    errors = [process.communicate(timeout=300)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], "\n".join(errors)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_processes_give_the_weights_of_one(of_two: Path, tmp_path: Path, case: str) -> None:
    found = [load_file(of_two / rank / "weights.safetensors") for rank in ("0", "1")]
    parts = {"accumulate": 2} if case in CLIMB_ALONE else {}
    expected = train(tmp_path / "alone", ALONE, **CASES[case] | parts)
    for name, value in expected.items():
        both = [weights[f"{case}/{name}"] for weights in found]
        assert torch.equal(*both)
        torch.testing.assert_close(both[0], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", CLIMB_ALONE)
def test_a_climb_by_all_rows_at_once_is_another(of_two: Path, tmp_path: Path, case: str) -> None:
    found = load_file(of_two / "0" / "weights.safetensors")[f"{case}/head.weight"]
    assert (found - train(tmp_path / "alone", ALONE, **CASES[case])["head.weight"]).abs().max() > 1e-5


def test_the_cases_are_as_many_results_and_untrained_weights_are_none_of_them(of_two: Path, tmp_path: Path) -> None:
    found = load_file(of_two / "0" / "weights.safetensors")
    heads = [found[f"{case}/head.weight"] for case in CASES]
    heads += [train(tmp_path / "alone", ALONE, epochs=0.2)["head.weight"]]
    # Micro-batches of a mean over rows are the one case that is another's equal.
    torch.testing.assert_close(heads.pop(1), heads[0], rtol=0, atol=1e-6)
    for place, one in enumerate(heads):
        for other in heads[:place]:
            assert (one - other).abs().max() > 1e-5


def test_only_process_0_writes_checkpoints_and_another_job_is_noticed(of_two: Path) -> None:
    assert {file.name for file in (of_two / "0").iterdir()} == {"weights.safetensors", *CASES}
    assert {file.name for file in (of_two / "1").iterdir()} == {"weights.safetensors", "error"}
    assert (of_two / "1" / "error").read_text() == "process 1 has other weights, rows or settings than process 0"


def test_two_processes_go_on_from_process_0s_checkpoint_to_the_same_bits(of_two: Path) -> None:
    """Its last step's, with dropout, and a perturbation that starts at random."""
    found, of_process_0 = (load_file(of_two / rank / "weights.safetensors") for rank in ("1", "0"))
    resumed = {name: value for name, value in found.items() if name.startswith("resumed/")}
    assert len(resumed) > 10
    for name, value in resumed.items():
        assert torch.equal(value, found[name.replace("resumed", "with dropout")])
        assert torch.equal(value, of_process_0[name])


def test_each_process_has_its_own_draws_at_each_step_and_one_alone_keeps_its_own() -> None:
    def drawn(processes: Processes, step: int) -> float:
        torch.manual_seed(0)
        processes.reseed(7, step)
        return torch.rand(1).item()

    first, second = Processes(0, 2), Processes(1, 2)
    draws = {drawn(first, 0), drawn(second, 0), drawn(first, 1), drawn(second, 1), drawn(ALONE, 0)}
    assert len(draws) == 5
    assert drawn(second, 1) in draws and drawn(ALONE, 5) == drawn(ALONE, 0)


def test_a_job_that_cannot_be_shared_refuses_more_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIZE_VARIABLE, "2")
    with pytest.raises(UserError, match="WORLD_SIZE: is 2, but this job runs in one process; start it by itself"):
        train(tmp_path / "alone", ALONE)


def test_without_a_launcher_a_process_is_alone() -> None:
    assert join("cpu") == ALONE == Processes(0, 1, torch.device("cpu"))
    assert ALONE.of_main(0.25) == 0.25


if __name__ == "__main__":
    work(Path(sys.argv[1]))
