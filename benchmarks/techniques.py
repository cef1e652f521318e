"""The technique ledger: what each training technique alone adds to a plain member, and what it costs.

    python benchmarks/techniques.py --data gaiic=data/gaiic_r1 --data ohsumed=data/ohsumed --out runs/techniques

`NAME=FOLDER` is a configuration in `configs/` and the folder of its raw contest. The plain baseline is that
configuration's first transformer member with the mean of its tokens, BCE, the last weights and no perturbation; each
technique changes one setting of it and has the values of `configs/base.yaml` otherwise. Cleaning, folds and the
encoder are made once; then stage 5 trains every technique with every seed. The same seed and fold give the same first
weights and batches, so that a difference is paired. Layers that the configuration freezes stay frozen, and what they
make of the records is no part of a job's cost.

All choices are by validation folds: the jobs read a table without test or unlabelled rows. Thresholds are cross-fitted,
between folds, or where one fold is run between its halves, over several halvings. The interval is the 95% bootstrap
interval over records of the macro-F1 difference, averaged over seeds; one seed's own luck is not in it, so the
differences by seed stand beside it, and of twenty techniques that do nothing one will exclude zero. The cost is the
processor time of a job (tokens, training, predicting the fold) as a ratio to the baseline's.

Every result is a file in `--out`: stopped at any moment, a second start goes on, inside a job from its last checkpoint
(its cost is then left out). No job starts after `--minutes`. The defaults are one fold, three seeds of GAIIC and one of
Ohsumed. A plain job took 150 seconds of one Zen 4 core with bf16 on GAIIC and 290 on Ohsumed, PGD three times as long.
The last line is JSON.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from paired_ledger.scores import Entry, entries, rows_of_folds, table
from paired_ledger.workers import do_all
from polydx.artifacts import write_json, write_text
from polydx.errors import UserError
from polydx.progress import Reporter
from technique_ledger.plan import BASELINE, TECHNIQUES, Job, Ledger, all_rows, labelled_rows, open_ledger
from technique_ledger.work import encode_and_run_frozen_layers, prepare, train
from user_faults import with_exit_status


def entries_of(ledger: Ledger) -> dict[str, Entry]:
    """Every technique that shares a finished seed with the baseline, the baseline first."""
    jobs = {
        name: {seed: [ledger.job(name, seed, fold) for fold in range(ledger.folds)] for seed in range(ledger.seeds)}
        for name in ledger.variants
    }
    settings = {name: TECHNIQUES.get(name) for name in ledger.variants}
    folds = all_rows(ledger.folder).folds
    return entries(
        jobs,
        settings,
        BASELINE,
        lambda: rows_of_folds(labelled_rows(ledger.folder), folds, ledger.folds, ledger.plain),
    )


def all_jobs(ledgers: Sequence[Ledger]) -> list[Job]:
    """Every job, seed by seed and the baseline first, so that a ledger cut short says something of everything."""
    return [
        ledger.job(technique, seed, fold)
        for seed in range(max(ledger.seeds for ledger in ledgers))
        for ledger in ledgers
        if seed < ledger.seeds
        for fold in range(ledger.folds)
        for technique in ledger.variants
    ]


def run(ledgers: Sequence[Ledger], out: Path, workers: int, minutes: float) -> None:
    """Do what is left to do within the time, then write and print what is known."""
    deadline = time.monotonic() + 60 * minutes
    for ledger in ledgers:
        if not ledger.made_by.exists() and time.monotonic() < deadline:
            prepare(ledger)
    prepared = [ledger.folder for ledger in ledgers if ledger.made_by.exists()]
    jobs = all_jobs(ledgers)
    waiting = [job for job in jobs if not job.done]
    out.mkdir(parents=True, exist_ok=True)
    with Reporter("technique ledger", len(jobs), "jobs") as progress:
        progress.resume_at(len(jobs) - len(waiting))
        ready = [job for job in waiting if job.folder in prepared]
        if time.monotonic() < deadline:
            encode_and_run_frozen_layers(ready)
        for name in do_all(ready, train, workers, deadline, out / "jobs.log"):
            progress.step(note=name)
    found = {ledger.data: entries_of(ledger) for ledger in ledgers}
    left = sum(not job.done for job in jobs)
    summary = {"jobs": len(jobs), "left": left, "ledger": found}
    write_json(out / "ledger.json", summary)
    write_text(out / "ledger.md", table(found))
    print(table(found))
    print(json.dumps(summary))


def data_pair(text: str) -> tuple[str, Path]:
    """A configuration's name and the folder of its raw contest."""
    name, equals, folder = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FOLDER")
    return name, Path(folder)


def fold_count(text: str) -> int | None:
    """A number, or None for `all`."""
    return None if text == "all" else int(text)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=data_pair, action="append", required=True, metavar="NAME=FOLDER")
    parser.add_argument("--out", type=Path, required=True, help="folder of everything that is made")
    parser.add_argument("--techniques", default=",".join(TECHNIQUES), help="names, joined by commas; default: all")
    parser.add_argument("--seeds", type=int, help="default: three for gaiic, else one")
    parser.add_argument("--folds", type=fold_count, default=1, help="how many of the folds, or all")
    parser.add_argument("--jobs", type=int, default=2, help="jobs side by side, one thread each")
    parser.add_argument("--minutes", type=float, default=math.inf, help="after these, no job starts")
    return parser.parse_args(argv)


@with_exit_status
def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line; returns the exit status."""
    options = parse(argv)
    techniques = options.techniques.split(",")
    if unknown := sorted({*techniques} - {*TECHNIQUES}):
        raise UserError("--techniques", f"there is no {unknown[0]!r}", f"choose from {', '.join(TECHNIQUES)}")
    ledgers = [
        open_ledger(name, folder, options.out, techniques, options.seeds, options.folds)
        for name, folder in options.data
    ]
    run(ledgers, options.out, options.jobs, options.minutes)


if __name__ == "__main__":
    sys.exit(main())
