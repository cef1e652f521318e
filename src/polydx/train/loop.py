"""The training loop: one flat loop that every neural job runs, whatever its task.

The task's forward returns the loss, so the loop doesn't know whether it pre-trains, classifies or distils. Everything a
step depends on (its rows, its random draws, its learning rate) follows from the seed and the step's number, so that a
job killed anywhere goes on from its checkpoint to the same bytes.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from polydx.errors import UserError
from polydx.model.tokens import IntArray
from polydx.progress import Reporter
from polydx.train.averaging import WeightAverage, new_average
from polydx.train.batching import padding_share, plan_batches, split_batch
from polydx.train.checkpoint import TrainingState, fingerprint_of, load_checkpoint, save_checkpoint
from polydx.train.distributed import ALONE, Processes
from polydx.train.dropout import use_byte_dropout
from polydx.train.fit_report import FitReport, StepClock, speeds
from polydx.train.optimiser import learning_rate_factor, new_optimiser
from polydx.train.perturbations.interface import Backward, Perturbation, plain_backward


class Examples(Protocol):
    """What a job trains on."""

    @property
    def lengths(self) -> IntArray:
        """`[examples]`, tokens of each."""

    def fingerprint(self) -> str:
        """Changes whenever any example does."""

    def batch(self, rows: IntArray, draw: np.random.Generator) -> dict[str, Tensor]:
        """Tensors of these rows; anything random comes from `draw`, which depends on the seed and the step only."""


@dataclass(frozen=True)
class Recipe:
    """How a job is trained; the meaning of each value stands in the settings.

    `average_decay` takes the moving average of the weights, `swa_start` their plain average; `patience` counts epochs
    without a better score; `accumulate` is the number of micro-batches whose gradients add up to a step's; a step has
    at most `batch_size` rows, and at most `batch_tokens` padded tokens where they are given (see `plan_batches`).
    """

    epochs: float
    batch_size: int
    learning_rate: float
    head_learning_rate: float
    weight_decay: float
    warmup_share: float
    clip_norm: float
    bf16: bool
    checkpoint_seconds: float
    seed: int
    average_decay: float | None = None
    swa_start: float | None = None
    layer_decay: float = 1.0
    patience: int | None = None
    accumulate: int = 1
    batch_tokens: int | None = None


def fit(
    task: nn.Module,
    examples: Examples,
    recipe: Recipe,
    *,
    name: str,
    is_head: Callable[[str], bool],
    device: torch.device,
    checkpoint: Path,
    depends_on: str,
    adversary: Perturbation | None = None,
    adversary_start_epoch: float = 0.0,
    score: Callable[[], float] | None = None,
    processes: Processes = ALONE,
) -> FitReport:
    """Train `task` in place, going on from `checkpoint` if an earlier, interrupted job left one.

    Args:
        task: `forward(batch, progress)` returns the scalar loss; `progress` in [0, 1) is the share of steps done.
        examples: The rows.
        recipe: The plain values of the schedule.
        name: Shown with the progress.
        is_head: Tells by a parameter's name whether it learns at `head_learning_rate`.
        device: Where to train; the task is moved there.
        checkpoint: File for the state inside the job; the caller removes it once its outputs are written.
        depends_on: Names whatever else training depends on (settings, code). The job starts over if its checkpoint was
            written under another recipe, start or data.
        adversary: Computes the gradients of a step in place of a backward pass.
        adversary_start_epoch: Epochs of clean training before that.
        score: Called after each epoch in evaluation mode; the weights of the best score are kept, and training ends
            after `patience` scores that were no better. It must not look at rows that the model is scored on later.
        processes: Those that share each step's rows; the task is the same in each, before and after.

    Returns:
        The report; the task holds the last, averaged or best weights and is in evaluation mode.

    Raises:
        UserError: A launcher started more processes than share the work, or a step's loss or gradient is not finite.
    """
    started = time.monotonic()
    task.to(device)
    use_byte_dropout(task, device)
    schedule = plan_batches(examples.lengths, recipe.batch_size, recipe.epochs, recipe.seed, recipe.batch_tokens)
    plan = schedule.batches
    first_adversarial = round(schedule.steps_in(adversary_start_epoch))
    optimiser = new_optimiser(
        task, recipe.learning_rate, recipe.head_learning_rate, recipe.weight_decay, is_head, recipe.layer_decay
    )
    average = new_average(task, recipe.average_decay, recipe.swa_start, len(plan), recipe.warmup_share)
    # How often a checkpoint is written changes nothing in it.
    lasting = replace(recipe, checkpoint_seconds=0.0)
    fingerprint = fingerprint_of(task, f"{lasting} {processes.size} {examples.fingerprint()} {depends_on}")
    state = load_checkpoint(checkpoint, fingerprint, task, optimiser, average)
    processes.check(f"{fingerprint} {state.step}")
    own_share = partial(split_batch, micro_batches=recipe.accumulate, rank=processes.rank, size=processes.size)
    first_step, clock, saved = state.step, StepClock(), time.monotonic()

    task.train()
    with Reporter(name, len(plan), "steps", shown=processes.rank == 0) as reporter:
        reporter.resume_at(state.step)
        while state.step < len(plan) and not _out_of_patience(state, recipe):
            step = state.step
            # A last 0 changes no draw: process 0 draws what a process alone does.
            draw = np.random.default_rng([recipe.seed, step, processes.rank])
            processes.reseed(recipe.seed, step)
            _set_learning_rates(optimiser, recipe, step, len(plan))
            backward = plain_backward
            if adversary is not None and step >= first_adversarial:
                backward = adversary.backward
                state.adversarial_steps += 1
            scale = schedule.weight(step)
            batches = ((examples.batch(rows, draw), scale * share) for rows, share in own_share(plan[step]))
            loss = _add_gradients(task, batches, backward, step / len(plan), device, recipe.bf16)
            loss = processes.add_up(task.parameters(), loss)
            norm = torch.nn.utils.clip_grad_norm_(task.parameters(), recipe.clip_norm)
            value = _finite_loss(loss, norm, name, step)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            if average is not None:
                average.update(task)

            state.count(value, len(plan))
            if score is not None and (state.step in schedule.epoch_ends or state.step == len(plan)):
                with clock.paused():
                    _watch(score, task, state, processes)
                if _out_of_patience(state, recipe):
                    state.tail_loss = value
            due = time.monotonic() - saved >= recipe.checkpoint_seconds and state.step < len(plan)
            if due and processes.rank == 0:
                save_checkpoint(checkpoint, fingerprint, state, task, optimiser, average)
                saved = time.monotonic()
            reporter.step(note=f"loss {value:.4f}")

    examples_per_second, tokens_per_second = speeds(examples.lengths, plan[first_step : state.step], clock.seconds())
    _settle(task, average, state.best_weights)
    own_batches = [rows for batch in plan[: state.step] for rows, _ in own_share(batch)]
    return FitReport(
        steps=state.step,
        seconds=round(time.monotonic() - started, 1),
        final_loss=state.tail_loss,
        adversarial_steps=state.adversarial_steps,
        padding_share=padding_share(examples.lengths, own_batches),
        examples_per_second=examples_per_second,
        tokens_per_second=tokens_per_second,
    )


def _set_learning_rates(optimiser: torch.optim.Optimizer, recipe: Recipe, step: int, steps: int) -> None:
    constant_from = 1.0 if recipe.swa_start is None else recipe.swa_start
    factor = learning_rate_factor(step, steps, recipe.warmup_share, constant_from)
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * factor


def _add_gradients(
    task: nn.Module,
    batches: Iterable[tuple[dict[str, Tensor], float]],
    backward: Backward,
    progress: float,
    device: torch.device,
    bf16: bool,
) -> Tensor:
    """Add the gradients of each batch, times its weight, to `.grad`; return the weighted sum of their losses."""
    total = torch.zeros((), device=device)
    for batch, weight in batches:
        moved = {key: value.to(device) for key, value in batch.items()}

        def loss_here(batch: dict[str, Tensor] = moved) -> Tensor:
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                loss: Tensor = task(batch, progress)
            return loss

        total += weight * backward(loss_here, weight)
    return total


def _finite_loss(loss: Tensor, norm: Tensor, name: str, step: int) -> float:
    """The loss of a step, once it and its gradients are known to be finite; a perturbed pass may fail by itself.

    Raises:
        UserError: One of the two is not.
    """
    # Together, so that the device is waited for once.
    value, length = torch.stack([loss, norm]).tolist()
    for what, found in (("loss", value), ("norm of the gradients", length)):
        if not math.isfinite(found):
            raise UserError(name, f"the {what} is {found} at step {step}", "lower the learning rate")
    return float(value)


def _watch(score: Callable[[], float], task: nn.Module, state: TrainingState, processes: Processes) -> None:
    """Score the task in evaluation mode, and keep its weights if they are the best so far."""
    task.eval()
    state.keep_if_best(processes.of_main(score()), task)
    task.train()


def _out_of_patience(state: TrainingState, recipe: Recipe) -> bool:
    return recipe.patience is not None and state.scores_since_best >= recipe.patience


def _settle(task: nn.Module, average: WeightAverage | None, best_weights: dict[str, Tensor] | None) -> None:
    """Give the task the weights that it keeps, the best ones before the average, in evaluation mode."""
    if average is not None:
        average.copy_to(task)
    if best_weights is not None:
        task.load_state_dict(best_weights)
    task.eval()
