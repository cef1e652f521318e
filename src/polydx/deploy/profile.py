"""What a student costs in each of its forms: counted once, timed in a process a form."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from polydx.deploy.costs import Costs, count_costs
from polydx.deploy.measure import Form, Job, Speed
from polydx.deploy.onnx_models import export_onnx, quantise_dynamic, quantise_static
from polydx.deploy.student_model import StudentModel, load_student
from polydx.errors import UserError

FORMS: tuple[Form, ...] = ("fp32", "bf16", "onnx", "int8", "int8-static")
CALIBRATION = (4, 8)
"""Batches and records a batch that the static form is calibrated on here, where only its speed counts."""


@dataclass(frozen=True)
class FormCosts:
    """One form: its name, megabytes of its weights, and its speed."""

    form: Form
    megabytes: float
    speed: Speed


@dataclass(frozen=True)
class CostReport:
    """Costs of a student.

    Attributes:
        counted: What doesn't depend on the form.
        threads: Threads that the forms were timed with.
        batch: Records a batch behind the throughputs.
        forms: What was timed.
    """

    counted: Costs
    threads: int
    batch: int
    forms: tuple[FormCosts, ...]


def profile(
    folder: Path, forms: tuple[Form, ...], tokens: int | None, batch: int, calls: int, threads: int
) -> CostReport:
    """Count and time.

    Args:
        folder: The student's folder.
        forms: Forms to time.
        tokens: Length of the records; None for the student's longest.
        batch: Records a batch, for the throughput.
        calls: Timed calls for the latency, and as many for the throughput.
        threads: Threads to compute with.

    Raises:
        UserError: The student can't be loaded, has fewer positions than `tokens`, or a form failed.
    """
    student = load_student(folder)
    model = student.stock_model()
    positions: int = model.config.max_position_embeddings
    length = student.card.max_tokens if tokens is None else tokens
    if length > positions:
        raise UserError("--tokens", f"is {length}", f"stay within the student's {positions} positions")
    counted = count_costs(model, folder, length)
    timed: list[FormCosts] = []
    with tempfile.TemporaryDirectory(prefix="polydx_profile_") as work:
        for form in forms:
            path = write_form(model, folder, form, length, Path(work))
            vocabulary: int = model.config.vocab_size
            job = Job(form, str(path), vocabulary, length, batch, calls, threads)
            timed.append(FormCosts(form, _megabytes(model, form, path), _run(job)))
    return CostReport(counted, threads, batch, tuple(timed))


def pick_forms(names: Sequence[str]) -> tuple[Form, ...]:
    """Return the forms of some names.

    Raises:
        UserError: There is no such form.
    """
    known: dict[str, Form] = {form: form for form in FORMS}
    for name in names:
        if name not in known:
            raise UserError("--form", f"{name!r} is no form", f"choose from {', '.join(FORMS)}")
    return tuple(known[name] for name in names)


def write_form(model: StudentModel, folder: Path, form: Form, tokens: int, work: Path) -> Path:
    """Return where a form lies: the student's own folder, or an ONNX file that is written into `work` if need be."""
    if form in ("fp32", "bf16"):
        return folder
    plain, target = work / "onnx.onnx", work / f"{form}.onnx"
    if not plain.exists():
        export_onnx(model, plain)
    if form == "int8":
        quantise_dynamic(plain, target)
    elif form == "int8-static":
        batches, records = CALIBRATION
        drawn = np.random.default_rng(0).integers(0, model.config.vocab_size, (batches, records, tokens))
        quantise_static(plain, target, [(input_ids, np.ones_like(input_ids)) for input_ids in drawn])
    return target


def _megabytes(model: StudentModel, form: Form, path: Path) -> float:
    if path.is_file():
        size = path.stat().st_size
    else:
        size = sum(parameter.numel() for parameter in model.parameters()) * (2 if form == "bf16" else 4)
    return round(size / 1e6, 2)


def _run(job: Job) -> Speed:
    environment = os.environ | {"OMP_NUM_THREADS": str(job.threads)}
    command = [sys.executable, "-m", "polydx.deploy.measure", json.dumps(asdict(job))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise UserError(f"form {job.form}", f"failed: {last}", "install requirements.txt, or leave it out of --form")
    return Speed(**json.loads(done.stdout))
