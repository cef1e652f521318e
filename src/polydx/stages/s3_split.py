"""Stage 3: deal the training records into folds and say how well every label is covered."""

import sys

import numpy as np

from polydx.artifacts import replacing, write_json
from polydx.config import Split
from polydx.contest.records import DUPLICATE_GROUP, ID, LABELS, PART, TRAIN, read_records
from polydx.judge.coverage import coverage
from polydx.judge.folds import make_folds
from polydx.paths import RunPaths


def run(paths: RunPaths, split: Split, seed: int) -> None:
    """Write `folds.parquet` and `coverage.json`.

    Raises:
        UserError: There are too few records for the folds.
    """
    records = read_records(paths.records, paths.labels, [ID, PART, LABELS, DUPLICATE_GROUP])
    train = records.part(TRAIN)
    targets, groups = records.targets(), train[DUPLICATE_GROUP].to_numpy(dtype=np.int64)

    folds = make_folds(
        train[ID].tolist(),
        targets,
        groups,
        scheme=split.scheme,
        folds=split.folds,
        repeats=split.repeats,
        holdout_share=split.holdout_share,
        seed=seed,
    )
    covered = dict(zip(records.label_names, coverage(folds, targets, groups), strict=True))
    # A hold-out parts the rows in two, so a label needs a positive on either side.
    parts = 2 if split.scheme == "holdout" else split.folds
    rare = [name for name, label in covered.items() if label.groups < parts]

    with replacing(paths.folds) as temporary:
        folds.table.to_parquet(temporary, index=False)
    write_json(
        paths.coverage,
        {
            "scheme": split.scheme,
            "jobs": folds.jobs,
            "rows": len(train),
            "groups": len(np.unique(groups)),
            "validation_rows": [int(folds.validation(job).sum()) for job in range(folds.jobs)],
            "rare_labels": rare,
            "labels": [
                {
                    "label": name,
                    "positives": label.positives,
                    "groups": label.groups,
                    "validation_positives": list(label.validation_positives),
                }
                for name, label in covered.items()
            ],
        },
    )
    print(
        f"s3 split: {len(train)} records in {folds.jobs} fold jobs, {len(rare)} labels rarer than the folds",
        file=sys.stderr,
    )
