from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polydx.errors import UserError
from polydx.names import Perturbed
from polydx.train.batching import plan_batches
from polydx.train.device import prepare
from polydx.train.dropout import use_byte_dropout
from polydx.train.loop import FitReport, Recipe, fit
from polydx.train.optimiser import new_optimiser
from polydx.train.perturbations.embeddings import EmbeddingPoint
from polydx.train.perturbations.pgd import PGD

RECIPE = Recipe(
    epochs=3,
    batch_size=4,
    learning_rate=1e-2,
    head_learning_rate=2e-2,
    weight_decay=0.01,
    warmup_share=0.1,
    clip_norm=1.0,
    bf16=False,
    checkpoint_seconds=0.0,
    seed=7,
    average_decay=0.9,
)


class TinyTask(nn.Module):
    """Dropout and an embedding, so that everything the loop must restore matters."""

    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8, 3)

    def forward(self, batch: dict[str, Tensor], progress: float) -> Tensor:
        logits = self.head(self.dropout(torch.tanh(self.embedding(batch["ids"]))).mean(1))
        return (1 + progress) * nn.functional.binary_cross_entropy_with_logits(logits, batch["targets"])


@dataclass(frozen=True)
class TinyExamples:
    """Ids partly hidden at random, as in masked-LM training. `fails_at` plants a crash at the n-th batch."""

    ids: np.ndarray
    calls: list[int]
    fails_at: int | None = None
    uneven: bool = False

    @property
    def lengths(self) -> np.ndarray:
        return self.ids[:, 0] if self.uneven else np.full(len(self.ids), self.ids.shape[1])

    def fingerprint(self) -> str:
        return self.ids.tobytes().hex()

    def batch(self, rows: np.ndarray, draw: np.random.Generator) -> dict[str, Tensor]:
        self.calls.append(len(rows))
        if len(self.calls) == self.fails_at:
            raise KeyboardInterrupt
        ids = np.where(draw.random(self.ids[rows].shape) < 0.2, 0, self.ids[rows])
        return {
            "ids": torch.from_numpy(ids),
            "targets": torch.from_numpy((self.ids[rows][:, :3] % 2).astype(np.float32)),
        }


def train(
    checkpoint: Path,
    *,
    fails_at: int | None = None,
    recipe: Recipe = RECIPE,
    depends_on: str = "",
    adversarial: bool = True,
    target: Perturbed = "table",
    dropout: float = 0.3,
    score: Callable[[TinyTask], float] | None = None,
    uneven: bool = False,
) -> tuple[TinyTask, FitReport, int]:
    prepare(1, 0)
    task = TinyTask(dropout)
    examples = TinyExamples(np.random.default_rng(0).integers(1, 20, (18, 5)), [], fails_at, uneven)
    adversary = PGD(EmbeddingPoint(task.embedding, target), 0.5, 0.2, 2) if adversarial else None
    report = fit(
        task,
        examples,
        recipe,
        name="tiny",
        is_head=lambda name: name.startswith("head."),
        device=torch.device("cpu"),
        checkpoint=checkpoint,
        depends_on=depends_on,
        adversary=adversary,
        adversary_start_epoch=1.0,
        score=None if score is None else lambda: score(task),
    )
    return task, report, len(examples.calls)


def same(first: nn.Module, second: nn.Module) -> bool:
    return all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def untimed(report: FitReport) -> FitReport:
    return replace(report, seconds=0, examples_per_second=0, tokens_per_second=0)


def half_of_the_weights(task: TinyTask) -> float:
    return float(task.head.weight.detach()[0].sum())


@pytest.mark.parametrize("fails_at", [1, 2, 6, 11, 15])
@pytest.mark.parametrize("score", [None, half_of_the_weights])
@pytest.mark.parametrize("averaging", [{}, {"average_decay": None, "swa_start": 0.5, "layer_decay": 0.5}])
def test_killed_and_resumed_gives_the_same_bits(
    tmp_path: Path, fails_at: int, score: object, averaging: dict[str, float | None]
) -> None:
    recipe = replace(RECIPE, **averaging)
    undisturbed, report, calls = train(tmp_path / "undisturbed", score=score, recipe=recipe)
    assert calls == report.steps == 15
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", fails_at=fails_at, score=score, recipe=recipe)
    resumed, resumed_report, calls = train(tmp_path / "killed", score=score, recipe=recipe)
    assert calls == 15 - (fails_at - 1)
    assert same(undisturbed, resumed)
    assert untimed(resumed_report) == untimed(report)


@pytest.mark.parametrize("fails_at", [3, 14])
def test_killed_and_resumed_gives_the_same_bits_under_a_token_budget(tmp_path: Path, fails_at: int) -> None:
    recipe = replace(RECIPE, batch_size=9, batch_tokens=40, patience=9)
    train_here = partial(train, recipe=recipe, uneven=True, score=half_of_the_weights)
    undisturbed, report, calls = train_here(tmp_path / "undisturbed")
    assert calls == report.steps > 15
    with pytest.raises(KeyboardInterrupt):
        train_here(tmp_path / "killed", fails_at=fails_at)
    resumed, resumed_report, calls = train_here(tmp_path / "killed")
    assert calls == report.steps - (fails_at - 1)
    assert same(undisturbed, resumed)
    assert untimed(resumed_report) == untimed(report)


class RowTask(nn.Module):
    """The mean of one number a row; `counts` adds up the gradients of each."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.numbers = nn.Parameter(torch.zeros(rows))
        self.counts = torch.zeros(rows)
        self.numbers.register_hook(self._count)

    def _count(self, gradient: Tensor) -> None:
        self.counts += gradient

    def forward(self, batch: dict[str, Tensor], progress: float) -> Tensor:  # noqa: ARG002 - the loop passes it to all
        return self.numbers[batch["rows"]].mean()


class RowExamples(TinyExamples):
    def batch(self, rows: np.ndarray, draw: np.random.Generator) -> dict[str, Tensor]:  # noqa: ARG002 - as the loop calls
        self.calls.append(len(rows))
        return {"rows": torch.from_numpy(rows)}


@pytest.mark.parametrize("accumulate", [1, 3])
def test_every_row_counts_the_same_under_a_token_budget(tmp_path: Path, accumulate: int) -> None:
    task = RowTask(18)
    examples = RowExamples(np.random.default_rng(0).integers(1, 20, (18, 5)), [], uneven=True)
    scored: list[float] = []

    def score() -> float:
        scored.append(0.0)
        return scored[-1]

    report = fit(
        task,
        examples,
        replace(RECIPE, batch_size=9, batch_tokens=40, accumulate=accumulate),
        name="rows",
        is_head=lambda _: False,
        device=torch.device("cpu"),
        checkpoint=tmp_path / "x",
        depends_on="",
        score=score,
    )
    assert len(scored) == 3, "once an epoch"
    assert len(set(examples.calls)) > 1
    torch.testing.assert_close(task.counts, torch.full((18,), report.steps / 18))


@pytest.mark.parametrize(("swa_start", "averaged_from"), [(None, 15), (0.6, 9), (0.1, 3)])
def test_the_loop_equals_a_plain_one(tmp_path: Path, swa_start: float | None, averaged_from: int) -> None:
    """Warm-up and decay, two rates, clipping, the step's own draws, and a mean at a constant rate, written out."""
    recipe = replace(RECIPE, average_decay=None, clip_norm=0.1, warmup_share=0.2, swa_start=swa_start)
    task, report, _ = train(tmp_path / "x", recipe=recipe, adversarial=False)

    prepare(1, 0)
    plain = TinyTask()
    use_byte_dropout(plain, torch.device("cpu"))
    examples = TinyExamples(np.random.default_rng(0).integers(1, 20, (18, 5)), [])
    optimiser = new_optimiser(plain, 1e-2, 2e-2, 0.01, lambda name: name.startswith("head."))
    factors = [1 / 4, 2 / 4, 3 / 4, *(left / 12 for left in range(12, 0, -1))]
    # Not before the three steps of the warm-up are over.
    factors[averaged_from:] = factors[averaged_from : averaged_from + 1] * (15 - averaged_from)
    losses, weights = [], []
    for step, rows in enumerate(plan_batches(examples.lengths, 4, 3, seed=7).batches):
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * factors[step]
        loss = plain(examples.batch(rows, np.random.default_rng([7, step])), step / 15)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.1)
        optimiser.step()
        losses.append(loss.item())
        weights.append({name: value.clone() for name, value in plain.state_dict().items()})
    assert report.final_loss == losses[-1]
    if swa_start is None:
        assert same(task, plain)
    else:
        for name, value in task.state_dict().items():
            mean = sum(state[name] for state in weights[averaged_from:]) / (15 - averaged_from)
            torch.testing.assert_close(value, mean, rtol=0, atol=1e-6)


@pytest.mark.parametrize("adversarial", [False, True])
@pytest.mark.parametrize("accumulate", [2, 3, 9])
def test_micro_batches_accumulate_to_whole_batches(tmp_path: Path, adversarial: bool, accumulate: int) -> None:
    """Unequal ones too, clipped once a step, and with a perturbation that norms each example by itself."""
    recipe = replace(RECIPE, learning_rate=1e-3, head_learning_rate=2e-3, clip_norm=0.1)
    whole, halves = (
        train(
            tmp_path / str(parts),
            recipe=replace(recipe, accumulate=parts),
            adversarial=adversarial,
            target="positions",
            dropout=0.0,
        )
        for parts in (1, accumulate)
    )
    for name, value in whole[0].state_dict().items():
        torch.testing.assert_close(halves[0].state_dict()[name], value, rtol=0, atol=1e-6)
    assert halves[1].final_loss == pytest.approx(whole[1].final_loss, abs=1e-6)
    assert halves[1].steps == whole[1].steps == 15
    # Twelve steps of four rows and three of two.
    assert halves[2] == 12 * min(accumulate, 4) + 3 * min(accumulate, 2)


def test_micro_batches_in_bf16_take_the_step_of_the_whole_batch(tmp_path: Path) -> None:
    recipe = replace(RECIPE, average_decay=None, learning_rate=1e-3, head_learning_rate=2e-3, weight_decay=0.0)

    def moved(name: str, **changes: float | bool) -> Tensor:
        """How far training moves the weights."""
        torch.manual_seed(0)
        start = torch.cat([value.flatten() for value in TinyTask().state_dict().values()])
        task, _, _ = train(tmp_path / name, recipe=replace(recipe, **changes), adversarial=False, dropout=0.0)
        return torch.cat([value.flatten() for value in task.state_dict().values()]) - start

    whole = moved("whole", bf16=True)
    parts = moved("parts", bf16=True, accumulate=3)
    exact = moved("exact")
    # AdamW divides by the gradient's size, so that bf16's rounding counts most where there is little of it.
    assert (parts - whole).norm() < 0.05 * whole.norm()
    assert 0 < (whole - exact).norm() < 0.05 * whole.norm()


def test_speed_counts_what_was_done_since_the_start(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", fails_at=15)
    for calls, name in ((15, "undisturbed"), (1, "killed")):
        _, report, found = train(tmp_path / name)
        assert found == calls
        # Each row has five tokens.
        assert report.tokens_per_second == pytest.approx(5 * report.examples_per_second, rel=0.01)
        assert report.examples_per_second > 0


def test_adversarial_steps_start_with_their_epoch(tmp_path: Path) -> None:
    assert train(tmp_path / "a")[1].adversarial_steps == 10
    assert train(tmp_path / "b", adversarial=False)[1].adversarial_steps == 0


def test_another_interval_between_checkpoints_goes_on_from_them(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", fails_at=9)
    task, _, calls = train(tmp_path / "killed", recipe=replace(RECIPE, checkpoint_seconds=1e9))
    assert calls == 15 - 8
    assert same(task, train(tmp_path / "undisturbed")[0])


@pytest.mark.parametrize("changed", ["recipe", "depends_on"])
def test_a_checkpoint_of_another_job_is_started_over(tmp_path: Path, changed: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stale", fails_at=9)
    other = {"recipe": replace(RECIPE, learning_rate=5e-3)} if changed == "recipe" else {"depends_on": "other settings"}
    task, _, calls = train(tmp_path / "stale", **other)
    assert calls == 15
    assert same(task, train(tmp_path / "fresh", **other)[0])


def test_the_weights_of_the_best_epoch_are_kept(tmp_path: Path) -> None:
    recipe = replace(RECIPE, average_decay=None)
    states: list[dict[str, Tensor]] = []
    scores = iter([0.1, 0.9, 0.5])

    def score(task: TinyTask) -> float:
        assert not task.training
        states.append({name: value.clone() for name, value in task.state_dict().items()})
        return next(scores)

    task, _, _ = train(tmp_path / "best", recipe=recipe, score=score)
    assert all(torch.equal(value, task.state_dict()[name]) for name, value in states[1].items())


@pytest.mark.parametrize("fails_at", [None, 6, 14])
def test_patience_ends_training_at_the_best_weights_also_after_a_kill(tmp_path: Path, fails_at: int | None) -> None:
    recipe = replace(RECIPE, average_decay=None, epochs=9, patience=2)
    # The loop sees the weights of epoch 2 as the best; epochs 3 and 4 are no better.
    best: list[dict[str, Tensor]] = []

    def score(task: TinyTask) -> float:
        epoch = len(best) + 1
        best.append({name: value.clone() for name, value in task.state_dict().items()})
        return {1: 0.1, 2: 0.9, 3: 0.9}.get(epoch, 0.5)

    if fails_at is not None:
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "patient", fails_at=fails_at, recipe=recipe, score=score)
    task, report, _ = train(tmp_path / "patient", recipe=recipe, score=score)
    assert len(best) == 4
    assert report.steps == 20
    assert report.final_loss > 0
    assert all(torch.equal(value, task.state_dict()[name]) for name, value in best[1].items())
    again, same_report, calls = train(tmp_path / "patient", recipe=recipe, score=score)
    assert (calls, same_report.steps, same_report.final_loss) == (0, 20, report.final_loss)
    assert same(task, again)


def test_the_loss_falls_and_the_task_is_left_in_evaluation_mode(tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=40, average_decay=None, checkpoint_seconds=1e9)
    task, report, _ = train(tmp_path / "x", recipe=recipe, adversarial=False)
    assert report.final_loss < 2 * 0.6  # the task doubles its loss by the end
    assert not task.training
    assert not (tmp_path / "x").exists()


def test_a_loss_that_is_not_finite_stops_the_job(tmp_path: Path) -> None:
    class Broken(TinyTask):
        def forward(self, batch: dict[str, Tensor], progress: float) -> Tensor:
            return super().forward(batch, progress) * float("nan")

    prepare(1, 0)
    examples = TinyExamples(np.ones((4, 5), dtype=np.int64), [])
    with pytest.raises(UserError, match="broken: the loss is nan at step 0; lower the learning rate"):
        fit(
            Broken(),
            examples,
            RECIPE,
            name="broken",
            is_head=lambda _: False,
            device=torch.device("cpu"),
            checkpoint=tmp_path / "x",
            depends_on="",
        )


class FailsWhereMoved:
    """A perturbed pass whose loss is infinite from the n-th step on, while the clean one's is fine."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.calls = 0

    def backward(self, loss_here: Callable[[], Tensor], scale: float = 1.0) -> Tensor:
        loss = loss_here()
        self.calls += 1
        factor = float("inf") if self.calls > self.first else 1.0
        (factor * scale * loss).backward()
        return loss.detach()


@pytest.mark.parametrize(("accumulate", "clip_norm"), [(1, 1.0), (2, 1.0), (1, 1e9)])
@pytest.mark.parametrize("step", [0, 2])
def test_a_gradient_that_is_not_finite_never_reaches_the_weights(
    tmp_path: Path, step: int, accumulate: int, clip_norm: float
) -> None:
    """Of three steps, also in the last one, after which no loss would tell."""
    prepare(1, 0)
    task = TinyTask()
    with pytest.raises(UserError, match=f"perturbed: the norm of the gradients is (nan|inf) at step {step}; lower the"):
        fit(
            task,
            TinyExamples(np.ones((4, 5), dtype=np.int64), []),
            replace(RECIPE, accumulate=accumulate, clip_norm=clip_norm),
            name="perturbed",
            is_head=lambda _: False,
            device=torch.device("cpu"),
            checkpoint=tmp_path / "x",
            depends_on="",
            adversary=FailsWhereMoved(step * accumulate),
        )
    assert all(value.isfinite().all() for value in task.state_dict().values())
