"""What each way of teaching adds to soft targets: a ledger from a finished run.

    python benchmarks/teaching.py --run gaiic

Fold students are taught again, with the run's own settings but for one: its fold models stay as they are, and nothing
of the run is written to. Every method is alone on top of soft targets, on the same seeds and folds; each score is out
of fold, by thresholds from the other folds. The difference to soft targets alone is the mean over the seeds, and its
95% interval resamples records and seeds together, paired; few seeds say little of how far seeds scatter, and of twenty
methods that do nothing one looks otherwise. Cost is the time of training against that of soft targets alone, of the
same seed and fold, in the median.

OUTPUT, runs/NAME-teaching where not given, keeps a folder for each method and seed with one result a fold, so that a
killed job goes on where it was; other folds, seeds or methods are added by asking for them. Writes OUTPUT/teaching.md
and OUTPUT/teaching.json; the last line printed is the JSON.
"""

import argparse
import itertools
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers import AutoConfig

from polydx.artifacts import Floats, read_array, read_json, write_array, write_json, write_text
from polydx.config import Compute, Distil, Settings
from polydx.contest.records import read_records
from polydx.ensemble.thresholds import DecisionRule
from polydx.judge.folds import Folds, Integers, read_folds
from polydx.judge.metrics import Mask
from polydx.judge.nested import NestedFolds
from polydx.paths import RunPaths
from polydx.progress import Reporter
from polydx.provenance import code_hash
from polydx.resolve import load_settings
from polydx.stages import s7_distil
from teaching_ledger import compare, markdown
from teaching_methods import methods, pick

SHARED = ("s1_clean", "s3_split", "s4_pretrain", "s5_finetune")
"""Folders of the run that a student is taught from."""


@dataclass(frozen=True)
class Job:
    """One fold student to teach.

    Attributes:
        source: The finished run.
        paths: A run of its own that shares what it is taught from.
        distil: Its settings.
        seed: Its run's seed.
        fold: Its fold.
    """

    source: RunPaths
    paths: RunPaths
    distil: Distil
    seed: int
    fold: int

    @property
    def result(self) -> Path:
        """The time it took; written last."""
        return self.paths.root / "results" / f"fold{self.fold}.json"

    @property
    def answers(self) -> Path:
        """Probabilities of its validation rows."""
        return self.result.with_suffix(".npy")

    @property
    def description(self) -> dict[str, object]:
        """What its result depends on, beside the fold models of the finished run."""
        return {
            "run": self.source.name,
            "distil": self.distil.model_dump(mode="json"),
            "seed": self.seed,
            "code": code_hash("polydx.stages.s7_distil"),
        }


def prepare_folder(job: Job) -> None:
    """Let a job's own run see what the finished one is taught from, and hold it to one description."""
    described = job.paths.root / "method.json"
    if not described.exists():
        for name in SHARED:
            link = job.paths.root / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to((job.source.root / name).resolve(), target_is_directory=True)
        write_json(described, job.description)
    if read_json(described) != json.loads(json.dumps(job.description)):
        sys.exit(f"{described}: was made from another run, settings or code; give another --output, or remove it")


def teach(job: Job, settings: Settings, compute: Compute) -> None:
    """Teach one fold student, unless that was done; keep what it says of its validation rows and the time it took.

    A killed job starts over: its time would not be known otherwise.
    """
    prepare_folder(job)
    if job.result.exists():
        return
    shutil.rmtree(job.paths.checkpoints(""), ignore_errors=True)
    started = time.perf_counter()
    s7_distil.run(job.paths, job.fold, job.distil, tuple(settings.members), settings.pseudo.rounds, compute, job.seed)
    seconds = time.perf_counter() - started
    student = job.paths.student(job.fold)
    write_array(job.answers, read_array(student.validation))
    shutil.rmtree(student.folder)
    write_json(job.result, {"seconds": round(seconds, 2)})


def teach_all(
    source: RunPaths, output: Path, chosen: Mapping[str, Distil], seeds: range, folds: range, threads: int
) -> dict[str, list[Job]]:
    """Teach by every method, on the same seeds and folds; return each method's jobs, by seed and then by fold."""
    settings = load_settings(source.settings)
    compute = settings.compute.model_copy(update={"threads": threads})
    jobs: dict[str, list[Job]] = {method: [] for method in chosen}
    with Reporter("teaching", len(seeds) * len(folds) * len(chosen), "fold students") as reporter:
        # Methods take turns, so that a busy hour falls on all of them.
        for seed, fold, method in itertools.product(seeds, folds, chosen):
            job = Job(source, RunPaths(f"{folder_name(method)}-seed{seed}", output), chosen[method], seed, fold)
            teach(job, settings, compute)
            jobs[method].append(job)
            reporter.step(note=method)
    return jobs


def folder_name(method: str) -> str:
    """A method's name as part of a folder's."""
    return "".join(letter if letter.isalnum() else "_" for letter in method)


def decide(answers: Sequence[Floats], folds: Folds, fold_of_row: Integers, targets: Mask, rule: DecisionRule) -> Mask:
    """Decisions `[rows, labels]` of the rows of these folds, each fold's by thresholds from the others."""
    probabilities = np.zeros(targets.shape, dtype=np.float32)
    for fold, array in enumerate(answers):
        probabilities[folds.validation(fold)] = array
    rows = (fold_of_row >= 0) & (fold_of_row < len(answers))
    nested = NestedFolds(targets[rows], fold_of_row[rows], rule)
    return nested.decisions(lambda _hidden: probabilities[rows])


def main() -> None:
    """Teach, score, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="name of a finished run under runs/")
    parser.add_argument("--output", type=Path, help="folder of the results")
    parser.add_argument("--method", action="append", default=[], help="again for each; without, all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, help="only the first few folds, two at least; without, all")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    source = RunPaths(options.run)
    output = options.output or source.root.with_name(f"{options.run}-teaching")
    settings = load_settings(source.settings)
    records, folds = read_records(source.records, source.labels), read_folds(source.folds)
    fold_of_row = folds.fold_of_row(repeat=0)
    taken = range(min(options.folds or len(fold_of_row), int(fold_of_row.max()) + 1))
    if not settings.distil.enabled or len(taken) < 2:
        sys.exit(f"{source.settings}: a student (distil.enabled) and two folds at least are needed")
    encoder = AutoConfig.from_pretrained(source.encoder(settings.distil.encoder))
    chosen = pick(methods(settings, encoder.num_hidden_layers), options.method)

    seeds = range(settings.run.seed, settings.run.seed + options.seeds)
    jobs = teach_all(source, output, chosen, seeds, taken, options.threads)

    stack, targets = settings.stack, records.targets() > 0
    rule = DecisionRule(stack.threshold_prior, stack.min_labels, stack.max_labels, stack.thresholds)
    decided: dict[str, list[Mask]] = {}
    for method, done in jobs.items():
        answers = [[read_array(job.answers) for job in done if job.seed == seed] for seed in seeds]
        decided[method] = [decide(each, folds, fold_of_row, targets, rule) for each in answers]
    seconds = {method: [read_json(job.result)["seconds"] for job in done] for method, done in jobs.items()}
    lines = compare(decided, seconds, targets[np.isin(fold_of_row, taken)], stack.bootstrap_samples)
    summary = {
        "run": options.run,
        "seeds": len(seeds),
        "folds": len(taken),
        "methods": {line.method: line.rounded() for line in lines},
    }
    write_text(output / "teaching.md", markdown(lines))
    write_json(output / "teaching.json", summary)
    print(markdown(lines), end="")
    print(json.dumps(summary, ensure_ascii=False))


if __name__ == "__main__":
    main()
