"""The files of a tiny run, as the stages before the tested one leave them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from polydx.artifacts import replacing, write_json
from polydx.contest.records import DUPLICATE_GROUP, ID, LABELS, PART, TEST, TEXT, TRAIN, UNLABELLED
from polydx.judge.folds import FOLD, REPEAT
from polydx.model.tokenizers import new_tokenizer
from polydx.paths import FoldFiles, RunPaths
from small_models import write_small_encoder

PARTS = {TRAIN: 24, TEST: 6, UNLABELLED: 10}
FOLDS = 3
LABEL_NAMES = ("a", "b")


def tiny_paths(folder: Path) -> RunPaths:
    return RunPaths("tiny", folder / "runs", folder / "submissions")


def write_inputs(paths: RunPaths, records: pd.DataFrame, labels: Sequence[str], fold_of_row: Sequence[int]) -> None:
    """Write records, label names, and one repeat of folds, of which the training rows come first in `records`."""
    with replacing(paths.records) as target:
        records.to_parquet(target, index=False)
    write_json(paths.labels, {"labels": labels})
    folds = pd.DataFrame({ID: records[ID][: len(fold_of_row)], REPEAT: 0, FOLD: fold_of_row})
    with replacing(paths.folds) as target:
        folds.to_parquet(target, index=False)


def small_run(folder: Path, layers: int = 1) -> RunPaths:
    """A run of three folds whose records are random words, and an encoder `small` of that many layers."""
    paths = tiny_paths(folder)
    draw = np.random.default_rng(0)
    words = [f"word{number}" for number in range(20)]
    parts = [part for part, rows in PARTS.items() for _ in range(rows)]
    texts = [" ".join(draw.choice(words, draw.integers(4, 12))) for _ in parts]
    labels = [[name for name in LABEL_NAMES if draw.random() < 0.5] if part == TRAIN else [] for part in parts]
    ids, alone = [f"r{row}" for row in range(len(parts))], range(len(parts))
    table = pd.DataFrame({ID: ids, PART: parts, LABELS: labels, TEXT: texts, DUPLICATE_GROUP: alone})
    write_inputs(paths, table, LABEL_NAMES, [row % FOLDS for row in range(PARTS[TRAIN])])
    write_small_encoder(paths.encoder("small"), new_tokenizer("words", texts, 40), layers=layers)
    return paths


def written(files: FoldFiles) -> dict[str, bytes]:
    """Bytes of every file but the report, which holds seconds."""
    found = sorted(file for file in files.folder.rglob("*") if file.is_file() and file != files.report)
    return {str(file.relative_to(files.folder)): file.read_bytes() for file in found}
