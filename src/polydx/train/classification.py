"""Fine-tuning a classifier on labelled rows and pseudo-rows, and predicting with it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from polydx.artifacts import Floats, fingerprint_arrays
from polydx.model.tokens import IntArray, TokenTable
from polydx.train.batching import batches_by_tokens
from polydx.train.distributed import ALONE, Processes
from polydx.train.fit_report import FitReport
from polydx.train.loop import Recipe, fit
from polydx.train.losses.objective import Objective
from polydx.train.lower_states import LowerStates
from polydx.train.perturbations.interface import Perturbation

PREDICTION_TOKENS = 2048
"""Padded tokens in a prediction batch: large enough to fill a core's matrix unit, small enough for its cache."""


@dataclass(frozen=True)
class LabelledExamples:
    """Rows to train on: tokens, targets, and whether a row's targets are pseudo-labels.

    Attributes:
        tokens: All rows of the records.
        rows: `[examples]`, int64, the rows of `tokens` to train on.
        targets: `[examples, labels]`, float32 in [0, 1].
        pseudo: `[examples]`, bool.
        lower: What the model's frozen layers make of the rows; None where nothing is frozen or kept.
    """

    tokens: TokenTable
    rows: IntArray
    targets: Floats
    pseudo: npt.NDArray[np.bool_]
    lower: LowerStates | None = None

    @property
    def lengths(self) -> IntArray:
        """`[examples]`, tokens of each."""
        return self.tokens.lengths[self.rows]

    def fingerprint(self) -> str:
        """Changes whenever any example does."""
        return self.tokens.fingerprint() + fingerprint_arrays(self.rows, self.targets, self.pseudo)

    def take(self, chosen: npt.NDArray[np.bool_]) -> "LabelledExamples":
        """Some of the examples: `chosen` is `[examples]`, bool."""
        return replace(self, rows=self.rows[chosen], targets=self.targets[chosen], pseudo=self.pseudo[chosen])

    def batch(self, rows: IntArray, draw: np.random.Generator) -> dict[str, Tensor]:  # noqa: ARG002 - nothing is random
        """`input_ids`, `attention_mask`, `targets`, `pseudo` of some examples; `side`, `lower` where there are any."""
        input_ids, attention_mask = self.tokens.pad(self.rows[rows])
        return {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "targets": torch.from_numpy(self.targets[rows]),
            "pseudo": torch.from_numpy(self.pseudo[rows]),
            **self.tokens.side_of(self.rows[rows]),
            **({} if self.lower is None else {"lower": self.lower.pad(self.rows[rows])}),
        }


class ClassificationTask(nn.Module):
    """The loss of a batch; pseudo-rows weigh what the ramp says.

    Args:
        model: Takes `input_ids` and `attention_mask`, and `side` and `lower` where batches have them; gives logits
            `[batch, labels]`.
        objective: What is minimised.
        pseudo_weight: Weight of a pseudo-row by the share of training done.
    """

    def __init__(self, model: nn.Module, objective: Objective, pseudo_weight: Callable[[float], float]) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.pseudo_weight = pseudo_weight

    def forward(self, batch: dict[str, Tensor], progress: float) -> Tensor:
        """Scalar loss of one batch."""
        beside = {key: batch[key] for key in ("side", "lower") if key in batch}
        logits = self.model(batch["input_ids"], batch["attention_mask"], **beside).float()
        weights = torch.ones_like(logits[:, 0]).masked_fill(batch["pseudo"], self.pseudo_weight(progress))
        loss: Tensor = self.objective(logits, batch["targets"], weights, progress)
        return loss


def predict_probabilities(
    score: Callable[..., Tensor],
    tokens: TokenTable,
    rows: IntArray,
    labels: int,
    device: torch.device,
    bf16: bool,
    lower: LowerStates | None = None,
) -> Floats:
    """Probabilities of some rows, computed in batches of similar length; on a CPU each of torch's threads has its own.

    Two cores get through two batches side by side in four fifths of the time that they take one after the other.

    Args:
        score: Gives logits `[batch, labels]` from `input_ids` and `attention_mask`, `side` where the texts have it, and
            `lower` where it is given; in evaluation mode.
        tokens: All rows' tokens.
        rows: `[n]`, int64, which rows; may be empty.
        labels: Number of labels.
        device: Where the model lies.
        bf16: Whether to run under bf16 autocast.
        lower: What the model's frozen layers make of the rows; None to run them.

    Returns:
        `[n, labels]`, float32, in the order of `rows`.
    """
    probabilities = np.zeros((len(rows), labels), dtype=np.float32)

    @torch.inference_mode()
    def predict(places: IntArray) -> None:
        input_ids, attention_mask = tokens.pad(rows[places])
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            beside = {key: value.to(device) for key, value in tokens.side_of(rows[places]).items()}
            if lower is not None:
                beside["lower"] = lower.pad(rows[places]).to(device)
            logits = score(input_ids.to(device), attention_mask.to(device), **beside)
        probabilities[places] = logits.float().sigmoid().cpu().numpy()

    batches = batches_by_tokens(tokens.lengths[rows], PREDICTION_TOKENS)
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    if threads == 1:
        for places in batches:
            predict(places)
    else:
        # The number of threads of a product is each Python thread's own.
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(predict, batches))
    return probabilities


def train_classifier(
    model: nn.Module,
    examples: LabelledExamples,
    recipe: Recipe,
    *,
    name: str,
    device: torch.device,
    checkpoint: Path,
    depends_on: str,
    objective: Objective,
    pseudo_weight: Callable[[float], float],
    adversary: Perturbation | None,
    adversary_start_epoch: float,
    inner: npt.NDArray[np.bool_] | None,
    processes: Processes = ALONE,
) -> FitReport:
    """Fine-tune a model in place.

    Args:
        model: Takes `input_ids` and `attention_mask`, gives logits; its head's parameters start with `head.`.
        examples: Labelled rows and pseudo-rows.
        recipe: The schedule.
        name: Shown with the progress.
        device: Where to train.
        checkpoint: File for the state inside the job.
        depends_on: Names what training depends on beside the model, the examples and the recipe.
        objective: What is minimised.
        pseudo_weight: Weight of a pseudo-row by the share of training done.
        adversary: Perturbation, or None.
        adversary_start_epoch: Epochs of clean training before it.
        inner: `[examples]`, which labelled rows are set aside to choose the best epoch by their BCE, and to end
            training when the recipe's patience does; None keeps the last.
        processes: Those that share each step's rows; the objective and the adversary sum over the same.
    """
    task = ClassificationTask(model, objective, pseudo_weight)
    score: Callable[[], float] | None = None
    if inner is not None:
        aside, examples = examples.take(inner), examples.take(~inner)

        def score() -> float:
            labels = aside.targets.shape[1]
            found = predict_probabilities(model, aside.tokens, aside.rows, labels, device, recipe.bf16, aside.lower)
            return -float(log_loss(aside.targets, found))

    return fit(
        task,
        examples,
        recipe,
        name=name,
        is_head=lambda parameter: parameter.startswith(("model.head.", "model.side.")),
        device=device,
        checkpoint=checkpoint,
        depends_on=depends_on,
        adversary=adversary,
        adversary_start_epoch=adversary_start_epoch,
        score=score,
        processes=processes,
    )


def log_loss(targets: Floats, probabilities: Floats) -> float:
    """Mean binary cross-entropy of probabilities `[rows, labels]`, clipped by 1e-7 away from 0 and 1."""
    clipped = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-(targets * np.log(clipped) + (1 - targets) * np.log1p(-clipped)).mean())
