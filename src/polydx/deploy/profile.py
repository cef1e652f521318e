"""What a student costs in each of its forms: counted once, timed in a process a form."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from polydx.deploy.costs import Costs, count_costs
from polydx.deploy.drawn_records import batches_of, draw_records
from polydx.deploy.exit_savings import ALL_SPEEDS, has_exits, savings
from polydx.deploy.measure import Form, Job, Speed
from polydx.deploy.onnx_models import export_onnx, quantise_dynamic, quantise_static
from polydx.deploy.student_model import LoadedStudent, StudentModel, load_student
from polydx.deploy.timed_batches import random_batches, write_batches
from polydx.errors import UserError
from polydx.model.exits import EXITS_FILE
from polydx.model.tokens import TokenTable

FORMS: tuple[Form, ...] = ("fp32", "bf16", "onnx", "int8", "int8-static")
CALIBRATION = (4, 8)
"""Batches and records a batch that the static form is calibrated on here, where only its speed counts."""


@dataclass(frozen=True)
class FormCosts:
    """One form, or the student at one speed of its early exits.

    Attributes:
        form: Its name.
        megabytes: Of its weights.
        speed: What was measured.
        asked: Share of the work that the early exits were asked to save; None without exits.
        saved: Share of the multiplications that they saved on the timed records; None without exits.
    """

    form: Form
    megabytes: float
    speed: Speed
    asked: float | None = None
    saved: float | None = None


@dataclass(frozen=True)
class CostReport:
    """Costs of a student.

    Attributes:
        counted: What doesn't depend on the form.
        threads: Threads that the forms were timed with.
        batch: Records a batch behind the throughputs.
        records: Real records that were timed; None where random tokens were.
        forms: What was timed.
    """

    counted: Costs
    threads: int
    batch: int
    records: int | None
    forms: tuple[FormCosts, ...]


def profile(
    folder: Path,
    forms: tuple[Form, ...],
    source: Path | None,
    tokens: int | None,
    batch: int,
    calls: int,
    threads: int,
) -> CostReport:
    """Count and time.

    Real records are drawn from `source`, and have their own lengths; what is counted is of their median length. On
    them, a student with early exits is also timed at each of its speeds, in fp32 if that is among the forms: where
    records leave depends on what they say, so random tokens would tell nothing of it.

    Args:
        folder: The student's folder.
        forms: Forms to time.
        source: Raw records to time on, in any format that is predicted from; None for random tokens.
        tokens: Length of random records; None for the student's longest.
        batch: Records a batch, for the throughput.
        calls: Timed calls for the latency, and as many for the throughput.
        threads: Threads to compute with.

    Raises:
        UserError: The student or the records can't be loaded, the student has fewer positions than `tokens`, real
            records are to have a length, or a form failed.
    """
    if source is not None and tokens is not None:
        raise UserError("--tokens", "is of random records, and those of --input have their own lengths", "give one")
    student = load_student(folder)
    model = student.stock_model()
    if source is None and has_exits(folder):
        print(f"profile: {folder} has early exits; --input FILE times them on real records", file=sys.stderr)
    drawn = None if source is None else draw_records(student, source, calls * batch)
    length = _length(student, drawn, tokens)
    counted = count_costs(model, folder, length)
    with tempfile.TemporaryDirectory(prefix="polydx_profile_") as name:
        work = Path(name)
        batches = work / "batches.npz"
        vocabulary: int = model.config.vocab_size
        timed = random_batches(vocabulary, length, batch) if drawn is None else batches_of(drawn, batch, calls)
        write_batches(timed, batches)
        rows: list[FormCosts] = []
        for form in forms:
            path = write_form(model, folder, form, length, work)
            (speed,) = _run(Job(form, str(path), str(batches), calls, threads))
            rows.append(FormCosts(form, _megabytes(model, form, path), speed))
        if drawn is not None and "fp32" in forms and has_exits(folder):
            speeds = _run(Job("fp32", str(folder), str(batches), calls, threads, ALL_SPEEDS))
            rows += _exit_rows(folder, model, drawn, speeds)
    return CostReport(counted, threads, batch, None if drawn is None else len(drawn.lengths), tuple(rows))


def _length(student: LoadedStudent, drawn: TokenTable | None, tokens: int | None) -> int:
    """Tokens of the record that costs are counted for."""
    if drawn is not None:
        lengths: list[int] = drawn.lengths.tolist()
        return statistics.median_high(lengths)
    positions: int = student.stock_model().config.max_position_embeddings
    length = student.card.max_tokens if tokens is None else tokens
    if length > positions:
        raise UserError("--tokens", f"is {length}", f"stay within the student's {positions} positions")
    return length


def _exit_rows(folder: Path, model: StudentModel, drawn: TokenTable, speeds: Sequence[Speed]) -> list[FormCosts]:
    megabytes = round(_megabytes(model, "fp32", folder) + (folder / EXITS_FILE).stat().st_size / 1e6, 2)
    found = zip(ALL_SPEEDS, savings(folder, model, drawn), speeds, strict=True)
    return [FormCosts("fp32", megabytes, speed, asked, round(saved, 4)) for asked, saved, speed in found]


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


def _run(job: Job) -> list[Speed]:
    environment = os.environ | {"OMP_NUM_THREADS": str(job.threads)}
    command = [sys.executable, "-m", "polydx.deploy.measure", json.dumps(asdict(job))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise UserError(f"form {job.form}", f"failed: {last}", "install requirements.txt, or leave it out of --form")
    return [Speed(**speed) for speed in json.loads(done.stdout)]
