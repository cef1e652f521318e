from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from polydx.train.averaging import WeightAverage, moving
from polydx.train.checkpoint import (
    TrainingState,
    clear_checkpoint,
    fingerprint_of,
    load_checkpoint,
    save_checkpoint,
)
from polydx.train.optimiser import new_optimiser


def new_job() -> tuple[nn.Module, torch.optim.AdamW, WeightAverage]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    return module, new_optimiser(module, 0.1, 0.1, 0.1, lambda _name: False), WeightAverage(module, moving(0.5))


def train(module: nn.Module, optimiser: torch.optim.AdamW, average: WeightAverage, steps: int) -> None:
    for _ in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = group["peak"]
        module(torch.randn(5, 3)).square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()
        average.update(module)


def everything(module: nn.Module, optimiser: torch.optim.AdamW, average: WeightAverage) -> list[bytes]:
    states = [optimiser.state[parameter] for parameter in module.parameters()]
    moments = [value for state in states for _, value in sorted(state.items())]
    averages = [average.weights[name] for name, _ in module.named_parameters()]
    tensors = [*module.state_dict().values(), *moments, *averages, torch.get_rng_state()]
    return [tensor.detach().numpy().tobytes() for tensor in tensors]


def test_round_trip_restores_everything_that_a_step_depends_on(tmp_path: Path) -> None:
    target = tmp_path / "job"
    first = new_job()
    train(*first, 3)
    state = TrainingState(step=3, adversarial_steps=2, tail_loss=0.25)
    state.keep_if_best(-0.5, first[0])
    save_checkpoint(target, "same", state, *first)
    saved = everything(*first)
    train(*first, 4)

    second = new_job()
    found = load_checkpoint(target, "same", *second)
    assert everything(*second) == saved
    assert (found.step, found.adversarial_steps, found.tail_loss, found.best_score) == (3, 2, 0.25, -0.5)
    assert found.best_weights is not None and state.best_weights is not None
    assert found.best_weights.keys() == state.best_weights.keys()
    assert all(torch.equal(found.best_weights[name], value) for name, value in state.best_weights.items())
    assert second[2].steps == 3
    train(*second, 4)
    assert everything(*second) == everything(*first)


def test_without_a_best_epoch_there_is_none(tmp_path: Path) -> None:
    job = new_job()
    train(*job, 1)
    save_checkpoint(tmp_path / "job", "same", TrainingState(step=1), *job)
    found = load_checkpoint(tmp_path / "job", "same", *new_job())
    assert found.best_weights is None
    assert found.best_score == float("-inf")


@pytest.mark.parametrize("written", [True, False])
def test_no_checkpoint_of_this_fingerprint_is_the_start(tmp_path: Path, written: bool) -> None:
    job = new_job()
    if written:
        train(*job, 2)
        save_checkpoint(tmp_path / "job", "other", TrainingState(step=2), *job)
    fresh = new_job()
    before = everything(*fresh)
    assert load_checkpoint(tmp_path / "job", "same", *fresh) == TrainingState()
    assert everything(*fresh) == before


def test_a_job_on_the_cpu_leaves_the_draws_of_a_gpu_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise AssertionError("asked for a GPU's random state")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name in ("get_rng_state", "set_rng_state"):
        monkeypatch.setattr(torch.cuda, name, refuse)
    target, job = tmp_path / "job", new_job()
    train(*job, 2)
    save_checkpoint(target, "same", TrainingState(step=2), *job)
    with safe_open(target, framework="pt") as file:
        assert "random.cuda" not in file.keys()  # noqa: SIM118 - not a mapping
        metadata = file.metadata()
    # As a job that was killed on a GPU leaves it.
    save_file(load_file(target) | {"random.cuda": torch.zeros(16, dtype=torch.uint8)}, target, metadata)
    assert load_checkpoint(target, "same", *new_job()).step == 2


def test_the_fingerprint_follows_weights_and_settings() -> None:
    module = new_job()[0]
    first = fingerprint_of(module, "settings")
    assert fingerprint_of(new_job()[0], "settings") == first
    assert fingerprint_of(module, "others") != first
    with torch.no_grad():
        next(module.parameters())[0, 0] += 1e-7
    assert fingerprint_of(module, "settings") != first


def test_only_a_better_score_is_kept() -> None:
    module, state = nn.Linear(1, 1), TrainingState()
    for score, weight in ((-1.0, 1.0), (-0.5, 2.0), (-0.5, 3.0), (-0.7, 4.0)):
        with torch.no_grad():
            module.weight.fill_(weight)
        state.keep_if_best(score, module)
    assert state.scores_since_best == 2
    assert state.best_weights is not None
    assert (state.best_score, state.best_weights["weight"].item()) == (-0.5, 2.0)


def test_clearing_is_repeatable(tmp_path: Path) -> None:
    target = tmp_path / "job"
    target.touch()
    clear_checkpoint(target)
    clear_checkpoint(target)
    assert not target.exists()
