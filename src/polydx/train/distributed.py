"""One job in several processes, each with a share of every step's rows.

A launcher starts them: `torchrun --nproc-per-node 2 --no-python polydx finetune …`, or `accelerate launch`. All hold
the same weights, and add up their gradients once a step, after all its passes. `DistributedDataParallel` would do it by
hooks inside each backward pass, which wait for weight gradients that the inner passes of PGD and VAT never compute.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from polydx.errors import UserError
from polydx.train.device import pick_device
from polydx.train.launcher import SIZE_VARIABLE, started_processes

Total = Callable[[Tensor], Tensor]
"""Sum of a tensor over the processes that share a batch; gradients flow through it."""


@dataclass(frozen=True)
class Processes:
    """The processes of one job, as one of them sees them.

    Every process must call the same methods in the same order: each waits for the others.

    Attributes:
        rank: This one's number, from 0; process 0 writes what the job writes.
        size: How many there are.
        device: This one's.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def total(self, tensor: Tensor) -> Tensor:
        """Sum over the processes, the same bits in each; gradients are summed likewise on their way back."""
        if self.size == 1:
            return tensor
        total: Tensor = _Total.apply(tensor)  # type: ignore[no-untyped-call]
        return total

    def add_up(self, parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
        """Replace the gradients by their sums over the processes, and return the loss's; one exchange for all.

        A parameter that no process has a gradient for keeps none. Takes the memory of the gradients once more.
        """
        if self.size == 1:
            return loss
        learned = [parameter for parameter in parameters if parameter.requires_grad]
        reached = torch.tensor([float(parameter.grad is not None) for parameter in learned], device=self.device)
        gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in learned]
        flat = torch.cat([loss.detach().reshape(1), reached, *(gradient.flatten() for gradient in gradients)])
        torch.distributed.all_reduce(flat)
        sizes = [1, len(learned), *(parameter.numel() for parameter in learned)]
        total: Tensor
        total, reached, *sums = flat.split(sizes)
        for parameter, anywhere, gradient in zip(learned, reached.tolist(), sums, strict=True):
            if anywhere:
                parameter.grad = gradient.view_as(parameter)
        return total.squeeze(0)

    def of_main(self, value: float) -> float:
        """Process 0's value, in every process."""
        own = value if self.rank == 0 else 0.0
        return float(self.total(torch.tensor(own, dtype=torch.float64, device=self.device)))

    def reseed(self, seed: int, step: int) -> None:
        """Let this process draw its own dropout masks in a step, also after a restart from process 0's checkpoint.

        A process alone goes on drawing as it does: its checkpoint holds the state of its draws.
        """
        if self.size > 1:
            state = np.random.SeedSequence([seed, step, self.rank]).generate_state(1, np.uint64)
            torch.manual_seed(int(state[0]))

    def check(self, job: str) -> None:
        """See that these are all processes that were started, and that they do the same job.

        Args:
            job: Names everything that the job depends on, and how far it is done.

        Raises:
            UserError: A launcher started more processes than share this job's work.
            RuntimeError: This process would do another job than process 0.
        """
        started = started_processes()
        if started > self.size:
            raise UserError(SIZE_VARIABLE, f"is {started}, but this job runs in one process", "start it by itself")
        digest = float(int(hashlib.sha256(job.encode()).hexdigest()[:12], 16))
        if self.of_main(digest) != digest:
            raise RuntimeError(f"process {self.rank} has other weights, rows or settings than process 0")

    def leave(self) -> None:
        """Part from the others, once nothing is shared any more: they may end before this one does."""
        if self.size > 1:
            torch.distributed.destroy_process_group()


ALONE = Processes()
"""A job of one process."""


def join(device: str) -> Processes:
    """Join the other processes of this job, if a launcher started any.

    Args:
        device: The setting `compute.device`.
    """
    alone = started_processes() == 1
    # Processes that share a job take the GPUs by their numbers.
    chosen = pick_device(device, claims=alone)
    if alone:
        return Processes(device=chosen)
    # Takes seconds, which a job of one process needn't spend.
    from accelerate import PartialState

    threads = torch.get_num_threads()
    state = PartialState(cpu=chosen.type == "cpu")
    torch.set_num_threads(threads)
    return Processes(state.process_index, state.num_processes, state.device)


class _Total(torch.autograd.Function):
    """Sum over processes, in both directions: what one process's part of a total does, it does to every loss."""

    @staticmethod
    def forward(_context: object, tensor: Tensor) -> Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: object, *gradients: Tensor) -> Tensor:
        return _Total.forward(_context, gradients[0])
