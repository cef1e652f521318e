"""Stage 5: train one member on one fold in one round, and predict the rows that others need."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from polydx.artifacts import read_array, write_array, write_json
from polydx.config import Compute, LinearMember, Pseudo, TransformerMember
from polydx.contest.records import DUPLICATE_GROUP, LABELS, PART, TEST, TRAIN, UNLABELLED, Records, read_records
from polydx.judge.folds import Folds, read_folds
from polydx.names import Language
from polydx.paths import RunPaths
from polydx.provenance import code_hash
from polydx.stages.members.job import Fitted, FoldJob, FoldRows
from polydx.train.launcher import is_helper


def run(
    paths: RunPaths,
    name: str,
    member: TransformerMember | LinearMember,
    round_number: int,
    fold: int,
    language: Language,
    pseudo: Pseudo | None,
    compute: Compute,
    teaches: bool,
    seed: int,
) -> None:
    """Train and predict.

    Args:
        paths: The run's files.
        name: The member's name.
        member: Its settings.
        round_number: 0 learns from labels only.
        fold: Fold job.
        language: How the linear member finds words.
        pseudo: Settings of the pseudo-labels; None in round 0.
        compute: Threads, device, checkpoints.
        teaches: Whether a student learns from this model: then its own training rows are predicted too.
        seed: The run's seed; the job's own is derived from it.
    """
    started = time.monotonic()
    # The members read the texts themselves: a neural one piece by piece.
    records = read_records(paths.records, paths.labels, [PART, LABELS, DUPLICATE_GROUP])
    rows = _rows(records, read_folds(paths.folds), fold)
    if pseudo is not None:
        rows = _with_pseudo_rows(rows, paths.pseudo(round_number, fold))
    job = FoldJob(name, round_number, fold, rows, pseudo, compute, paths, seed, code_hash(__name__))
    fitted = _fit(member, job, language)
    if fitted is None:
        return
    predict, figures = fitted

    files = job.files
    write_array(files.validation, predict(rows.validation))
    write_array(files.test, predict(rows.test))
    write_array(files.unlabelled, predict(rows.unlabelled))
    if teaches:
        write_array(files.training, predict(rows.training))
    report = {
        "member": name,
        "round": round_number,
        "fold": fold,
        "training_rows": len(rows.training),
        "pseudo_rows": len(rows.pseudo),
        **figures,
        "seconds": round(time.monotonic() - started, 1),
    }
    write_json(files.report, report)
    job.checkpoint.unlink(missing_ok=True)
    learned = f"{len(rows.training)} rows and {len(rows.pseudo)} pseudo-rows"
    print(f"s5 finetune {job.name}: {learned} in {report['seconds']} s", file=sys.stderr)


def _fit(member: TransformerMember | LinearMember, job: FoldJob, language: Language) -> Fitted | None:
    """None where another process of this job writes its files."""
    # torch and scikit-learn take seconds to import, and no job needs both.
    if isinstance(member, LinearMember):
        if is_helper():
            # Its fit has no steps to share.
            return None
        from polydx.stages.members import linear

        return linear.fit(member, job, language)
    from polydx.stages.members import transformer

    return transformer.fit(member, job)


def _rows(records: Records, folds: Folds, fold: int) -> FoldRows:
    part, groups = (records.table[column].to_numpy() for column in (PART, DUPLICATE_GROUP))
    train = np.flatnonzero(part == TRAIN)
    training = folds.training(fold)
    return FoldRows(
        training=train[training],
        groups=groups[train[training]],
        validation=train[~training],
        test=np.flatnonzero(part == TEST),
        unlabelled=np.flatnonzero(part == UNLABELLED),
        pseudo=np.zeros(0, dtype=np.int64),
        targets=records.targets()[training],
    )


def _with_pseudo_rows(rows: FoldRows, folder: Path) -> FoldRows:
    candidates = np.concatenate([rows.test, rows.unlabelled])
    return replace(
        rows,
        pseudo=candidates[read_array(folder / "rows.npy")],
        targets=np.concatenate([rows.targets, read_array(folder / "soft_labels.npy")]),
    )
