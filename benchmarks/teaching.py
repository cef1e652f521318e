"""What each way of teaching adds to soft targets: a ledger from a finished run.

    python benchmarks/teaching.py --run gaiic --folds 1 --epochs 3

Fold students are taught again, with the run's own settings but for one: its fold models stay as they are, and nothing
of the run is written to. Every method is alone on top of soft targets, on the same seeds and folds, so that a
difference is paired; `--epochs` shortens all of them alike. Scores are out of fold: thresholds are cross-fitted between
folds, or where one fold is run between its halves, over several halvings. The interval is the 95% bootstrap interval
over records of the macro-F1 difference, averaged over seeds; one seed's own luck is not in it, so the differences by
seed stand beside it, and of twenty methods that do nothing one will exclude zero. Cost is the processor time of a job
as a ratio to that of soft targets alone.

Every result is a file in OUTPUT, runs/NAME-teaching where not given: stopped at any moment, a second start goes on,
with the jobs that were killed from their beginning; other folds, seeds or methods are added by asking for them. No job
starts after `--minutes`. Writes OUTPUT/teaching.md and OUTPUT/teaching.json; the last line printed is the JSON.
"""

import argparse
import json
import math
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import AutoConfig

from paired_ledger.scores import Entry, entries, rows_of_folds, table
from paired_ledger.workers import do_all
from polydx.artifacts import read_array, read_json, write_array, write_json, write_text
from polydx.config import Compute, Distil, Settings
from polydx.errors import UserError
from polydx.judge.folds import read_folds
from polydx.paths import RunPaths
from polydx.progress import Reporter
from polydx.provenance import code_hash
from polydx.resolve import load_settings
from polydx.stages import s7_distil
from teaching_methods import BASELINE, Method, methods, pick
from user_faults import with_exit_status

SHARED = ("s1_clean", "s3_split", "s4_pretrain", "s5_finetune")
"""Folders of the run that a student is taught from."""


@dataclass(frozen=True)
class Job:
    """One fold student to teach.

    Attributes:
        output: The ledger's folder.
        source: The finished run.
        teachers: Its members.
        teacher_round: The round that they are of.
        compute: One thread of the CPU, since the cost is processor time.
        method: Its name.
        distil: Its settings.
        seed: Its run's seed.
        fold: Its fold.
    """

    output: Path
    source: RunPaths
    teachers: tuple[str, ...]
    teacher_round: int
    compute: Compute
    method: str
    distil: Distil
    seed: int
    fold: int

    @property
    def name(self) -> str:
        """What its files are called."""
        method = "".join(letter if letter.isalnum() else "_" for letter in self.method)
        return f"{method}-seed{self.seed}-fold{self.fold}"

    @property
    def result(self) -> Path:
        """Its settings and cost; it is written last, so that a job is done if it is there."""
        return self.output / "results" / f"{self.name}.json"

    @property
    def probabilities(self) -> Path:
        """Of its validation rows."""
        return self.result.with_suffix(".npy")

    @property
    def done(self) -> bool:
        """Whether there is a result of these very settings."""
        return self.result.exists() and read_json(self.result)["distil"] == self.distil.model_dump(mode="json")


def teach(job: Job) -> str:
    """Run stage 7 in a run of its own, whose earlier stages are links; keep the probabilities and the cost."""
    paths = RunPaths(job.name, job.output / "work")
    # A killed job starts over: its cost would not be known otherwise.
    shutil.rmtree(paths.root, ignore_errors=True)
    paths.root.mkdir(parents=True)
    for name in SHARED:
        (paths.root / name).symlink_to((job.source.root / name).resolve(), target_is_directory=True)
    started = time.process_time()
    s7_distil.run(paths, job.fold, job.distil, job.teachers, job.teacher_round, job.compute, job.seed)
    seconds = round(time.process_time() - started, 2)
    write_array(job.probabilities, read_array(paths.student(job.fold).validation))
    write_json(job.result, {"distil": job.distil.model_dump(mode="json"), "processor_seconds": seconds})
    shutil.rmtree(paths.root)
    return job.name


@dataclass(frozen=True)
class Ledger:
    """Methods to compare on a finished run.

    Attributes:
        source: The run.
        output: The ledger's folder.
        settings: The run's.
        chosen: The methods, soft targets alone first.
        seeds: Of the students.
        folds: How many of the run's folds.
    """

    source: RunPaths
    output: Path
    settings: Settings
    chosen: Mapping[str, Method]
    seeds: range
    folds: int

    @property
    def provenance(self) -> dict[str, object]:
        """What results must share to be compared."""
        return {"run": self.source.name, "code": code_hash("polydx.stages.s7_distil")}

    def job(self, method: str, seed: int, fold: int) -> Job:
        """One of the jobs."""
        settings = self.settings
        compute = settings.compute.model_copy(update={"threads": 1, "device": "cpu"})
        teachers, teacher_round = tuple(settings.members), settings.pseudo.rounds
        distil = self.chosen[method].distil
        return Job(self.output, self.source, teachers, teacher_round, compute, method, distil, seed, fold)

    def jobs(self) -> list[Job]:
        """All of them, seed by seed and soft targets first, so that a ledger cut short says something of everything."""
        folds = range(self.folds)
        return [self.job(method, seed, fold) for seed in self.seeds for fold in folds for method in self.chosen]

    def entries(self) -> dict[str, Entry]:
        """Every method that shares a finished seed with soft targets alone, those first."""
        jobs = {
            method: {seed: [self.job(method, seed, fold) for fold in range(self.folds)] for seed in self.seeds}
            for method in self.chosen
        }
        settings = {name: method.setting for name, method in self.chosen.items()}
        source = self.source
        return entries(jobs, settings, BASELINE, lambda: rows_of_folds(source, source.folds, self.folds, self.settings))


def open_ledger(options: argparse.Namespace) -> Ledger:
    """Read the run and its settings, and look whether the ledger's folder was made from the same.

    Raises:
        UserError: The run has no student, there is no such method, or the folder is of another run or other code.
    """
    source = RunPaths(options.run)
    settings = load_settings(source.settings)
    if not settings.distil.enabled:
        raise UserError(str(source.settings), "has no student", "run it with distil.enabled=true")
    if options.epochs is not None:
        settings = load_settings(source.settings, [f"distil.epochs={options.epochs}"])
    depth = AutoConfig.from_pretrained(source.encoder(settings.distil.encoder)).num_hidden_layers
    first, most = settings.run.seed, read_folds(source.folds).count
    ledger = Ledger(
        source,
        options.output or source.root.with_name(f"{options.run}-teaching"),
        settings,
        pick(methods(settings, depth), options.method),
        range(first, first + options.seeds),
        min(options.folds or most, most),
    )
    made_by = ledger.output / "made_by.json"
    if not made_by.exists():
        write_json(made_by, ledger.provenance)
    if read_json(made_by) != ledger.provenance:
        raise UserError(str(made_by), "is of another run or other code", "give another --output, or remove it")
    return ledger


def run(ledger: Ledger, workers: int, minutes: float) -> None:
    """Do what is left to do within the time, then write and print what is known."""
    deadline = time.monotonic() + 60 * minutes
    jobs = ledger.jobs()
    waiting = [job for job in jobs if not job.done]
    with Reporter("teaching", len(jobs), "fold students") as progress:
        progress.resume_at(len(jobs) - len(waiting))
        for name in do_all(waiting, teach, workers, deadline, ledger.output / "jobs.log"):
            progress.step(note=name)
    found = ledger.entries()
    left = sum(not job.done for job in jobs)
    summary = {"run": ledger.source.name, "folds": ledger.folds, "jobs": len(jobs), "left": left, "methods": found}
    shown = table({ledger.source.name: found})
    write_json(ledger.output / "teaching.json", summary)
    write_text(ledger.output / "teaching.md", shown)
    print(shown)
    print(json.dumps(summary, ensure_ascii=False))


@with_exit_status
def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="name of a finished run under runs/")
    parser.add_argument("--output", type=Path, help="folder of the results")
    parser.add_argument("--method", action="append", default=[], help="again for each; without, all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, help="only the first few folds; without, all")
    parser.add_argument("--epochs", type=float, help="of every student, in place of the run's own")
    parser.add_argument("--jobs", type=int, default=2, help="jobs side by side, one thread each")
    parser.add_argument("--minutes", type=float, default=math.inf, help="after these, no job starts")
    options = parser.parse_args(argv)
    run(open_ledger(options), options.jobs, options.minutes)


if __name__ == "__main__":
    sys.exit(main())
