"""The state inside a training job: safetensors and a JSON header, nothing pickled."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from polydx.artifacts import replacing
from polydx.train.averaging import WeightAverage


@dataclass
class TrainingState:
    """Where a job stands, beside its weights and optimiser.

    Attributes:
        step: Steps done.
        adversarial_steps: How many of them were perturbed.
        tail_loss: Mean loss of the last tenth of the steps, as far as they are done.
        best_score: Best score so far on the inner rows.
        best_weights: The weights that reached it.
        scores_since_best: How many scores have been no better since.
    """

    step: int = 0
    adversarial_steps: int = 0
    tail_loss: float = 0.0
    best_score: float = float("-inf")
    best_weights: dict[str, Tensor] | None = None
    scores_since_best: int = 0

    def count(self, loss: float, steps: int) -> None:
        """Count one step more of the job's `steps`, and its loss if it is one of the last tenth."""
        tail = max(1, steps // 10)
        if self.step >= steps - tail:
            self.tail_loss += loss / tail
        self.step += 1

    def keep_if_best(self, score: float, module: nn.Module) -> None:
        """Remember the weights if they score better than any before."""
        self.scores_since_best += 1
        if score > self.best_score:
            self.scores_since_best = 0
            self.best_score = score
            self.best_weights = {name: value.detach().clone() for name, value in module.state_dict().items()}


def fingerprint_of(module: nn.Module, depends_on: str) -> str:
    """Hash of the weights a job starts from and of whatever else its training depends on."""
    digest = hashlib.sha256(depends_on.encode())
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def save_checkpoint(
    target: Path,
    fingerprint: str,
    state: TrainingState,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: WeightAverage | None,
) -> None:
    """Write everything that the next step depends on, the random state of torch included."""
    tensors = {f"weight.{name}": value.detach().cpu().clone() for name, value in module.state_dict().items()}
    names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
    for parameter, moments in optimiser.state.items():
        for key, value in moments.items():
            tensors[f"optimiser.{key}.{names[parameter]}"] = value.detach().cpu().clone()
    if average is not None:
        tensors |= {f"average.{name}": value.cpu() for name, value in average.weights.items()}
    if state.best_weights is not None:
        tensors |= {f"best.{name}": value.cpu().clone() for name, value in state.best_weights.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    device = _device_of(module)
    if device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(device)
    header = {
        "step": state.step,
        "adversarial_steps": state.adversarial_steps,
        "tail_loss": state.tail_loss,
        "best_score": state.best_score,
        "scores_since_best": state.scores_since_best,
    }
    with replacing(target) as temporary:
        save_file(tensors, temporary, metadata={"fingerprint": fingerprint, "state": json.dumps(header)})


def load_checkpoint(
    source: Path,
    fingerprint: str,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: WeightAverage | None,
) -> TrainingState:
    """Put everything back where `save_checkpoint` took it from.

    Returns:
        Where the job stands: at its start, with nothing touched, if there is no checkpoint of this fingerprint.
    """
    if not source.exists():
        return TrainingState()
    device = _device_of(module)
    with safe_open(source, framework="pt", device=str(device)) as file:
        if file.metadata()["fingerprint"] != fingerprint:
            return TrainingState()
        state = TrainingState(**json.loads(file.metadata()["state"]))
        tensors: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    module.load_state_dict(_strip(tensors, "weight."))
    parameters = dict(module.named_parameters())
    for moment in ("step", "exp_avg", "exp_avg_sq"):
        for name, value in _strip(tensors, f"optimiser.{moment}.").items():
            optimiser.state[parameters[name]][moment] = value
    if average is not None:
        average.weights = _strip(tensors, "average.")
        average.steps = state.step
    state.best_weights = _strip(tensors, "best.") or None
    torch.set_rng_state(tensors["random.cpu"].cpu())
    if device.type == "cuda" and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"].cpu(), device)
    return state


def clear_checkpoint(target: Path) -> None:
    """Remove a job's checkpoint, once its outputs are written."""
    target.unlink(missing_ok=True)


def _device_of(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


def _strip(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
