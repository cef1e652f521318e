"""Stage 6: the pseudo-labels that one fold may train on in one round, from that fold's own models only.

A mean over all folds would be a better teacher, and a leak: the other folds' models trained on this fold's validation
labels.
"""

import sys

import numpy as np

from polydx.artifacts import read_array, replacing, write_array, write_json
from polydx.config import Pseudo
from polydx.contest.records import LABELS, PART, TEST, UNLABELLED, read_records
from polydx.errors import UserError
from polydx.judge.folds import read_folds
from polydx.paths import FoldFiles, RunPaths
from polydx.semi.pseudo_labels import Confidence, choose


def run(paths: RunPaths, round_number: int, fold: int, members: tuple[str, ...], pseudo: Pseudo) -> None:
    """Write `rows.npy`, `soft_labels.npy` and `report.json` for the training of `fold` in `round_number`.

    `rows.npy` (int64) counts the test rows from 0 in record order, and the unlabelled rows on from there;
    `soft_labels.npy` (float32 `[taken, labels]`) has what they teach.

    Args:
        paths: The run's files.
        round_number: The round to be trained, from 1; its teachers are the models of the round before.
        fold: The fold job to be trained.
        members: Members whose models teach: the plain mean of their probabilities.
        pseudo: What counts as sure.

    Raises:
        UserError: There are no rows without labels to choose from.
    """
    records = read_records(paths.records, paths.labels, [PART, LABELS])
    targets = records.targets()[read_folds(paths.folds).training(fold)]
    models = teachers(paths, round_number, fold, members)
    test = np.mean([read_array(model.test) for model in models], axis=0)
    unlabelled = np.mean([read_array(model.unlabelled) for model in models], axis=0)
    if (len(test), len(unlabelled)) != (len(records.part(TEST)), len(records.part(UNLABELLED))):
        raise ValueError(f"the models of fold {fold} predicted other test or unlabelled rows than the records hold")

    first = 0 if pseudo.test_rows else len(test)
    pool = np.concatenate([test, unlabelled])[first:]
    if len(pool) == 0:
        raise UserError(
            "pseudo.test_rows",
            "is false and the contest has no unlabelled records, so no row can get a pseudo-label",
            "set it to true, name a table in contest.unlabelled, or set pseudo.rounds to 0",
        )
    chosen = choose(
        pool,
        Confidence(pseudo.cutoff, pseudo.positive_above, pseudo.negative_below),
        prior=targets.mean(axis=0),
        hard=pseudo.targets == "hard",
        max_rows=int(pseudo.max_share * len(targets)),
        without_labels=not targets.any(axis=1).all(),
    )
    rows = chosen.rows + first

    with replacing(paths.pseudo(round_number, fold)) as folder:
        write_array(folder / "rows.npy", rows)
        write_array(folder / "soft_labels.npy", chosen.soft_labels)
        report = {
            "round": round_number,
            "fold": fold,
            "considered": len(pool),
            "taken": len(rows),
            "test_rows": int((rows < len(test)).sum()),
            "positives": dict(zip(records.label_names, chosen.positives.tolist(), strict=True)),
        }
        write_json(folder / "report.json", report)
    print(f"s6 pseudo: round {round_number} fold {fold}: {len(rows)} of {len(pool)} rows taken", file=sys.stderr)


def teachers(paths: RunPaths, round_number: int, fold: int, members: tuple[str, ...]) -> list[FoldFiles]:
    """The only models that may label rows for this fold: its own, of the round before."""
    return [paths.fold_model(member, round_number - 1, fold) for member in members]
