"""What a fine-tuning job takes at its peak, with ten times the records and the same number of steps.

    python benchmarks/memory.py --records 10000 100000 --steps 50

Makes runs of short synthetic records in a temporary folder, with a small encoder of random weights, and does one fold's
fine-tuning job of each in a process of its own, predictions for all of its rows included. The last line is JSON: the
peaks in MiB (`VmHWM`, which counts mapped files as well) and their ratio.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from polydx.artifacts import write_json
from polydx.config import TransformerMember
from polydx.contest.records import (
    AGE_YEARS,
    DUPLICATE_GROUP,
    ID,
    LABELS,
    PART,
    PART_ENDS,
    SECTION_PREFIX,
    SEX,
    TEST,
    TEXT,
    TRAIN,
)
from polydx.judge.folds import FOLD, REPEAT
from polydx.model.encoders import new_encoder, save_folder
from polydx.model.tokenizers import new_tokenizer
from polydx.paths import RunPaths
from polydx.resolve import load_settings
from polydx.stages import s5_finetune

CONFIG = Path(__file__).parents[1] / "configs" / "smoke.yaml"
MEMBER = "members.measured={kind: transformer, encoder: small, long_records: {mode: section_shares}}"
ENCODER = "encoders.small={source: own}"
LABEL_COUNT, WORDS, FOLDS, TEST_SHARE = 20, 500, 5, 0.2


def make_run(paths: RunPaths, records: int) -> None:
    """Write what a fine-tuning job reads: records of 20 to 60 words in two sections, folds and an encoder."""
    draw = np.random.default_rng(0)
    words = [f"word{number}" for number in range(WORDS)]
    training = round((1 - TEST_SHARE) * records)
    sections = [
        [" ".join(words[place] for place in row[:size]) for row, size in zip(*drawn, strict=True)]
        for drawn in (
            (draw.integers(0, WORDS, (records, 30)).tolist(), draw.integers(10, 31, records).tolist()) for _ in range(2)
        )
    ]
    names = [f"label{number}" for number in range(LABEL_COUNT)]
    labels = draw.integers(0, LABEL_COUNT, records).tolist()
    table = pd.DataFrame(
        {
            ID: [f"r{row}" for row in range(records)],
            DUPLICATE_GROUP: np.arange(records),
            PART: [TRAIN] * training + [TEST] * (records - training),
            AGE_YEARS: draw.uniform(0, 90, records),
            SEX: draw.choice(["male", "female"], records),
            f"{SECTION_PREFIX}first": sections[0],
            f"{SECTION_PREFIX}second": sections[1],
            TEXT: [f"{first} {second}" for first, second in zip(*sections, strict=True)],
            PART_ENDS: [[len(first), len(first) + 1 + len(second)] for first, second in zip(*sections, strict=True)],
            LABELS: [[names[place]] if row < training else [] for row, place in enumerate(labels)],
        }
    )
    paths.records.parent.mkdir(parents=True)
    table.to_parquet(paths.records)
    write_json(paths.labels, {"labels": names})
    paths.folds.parent.mkdir(parents=True)
    folds = {ID: table[ID][:training], REPEAT: 0, FOLD: np.arange(training) % FOLDS}
    pd.DataFrame(folds).to_parquet(paths.folds)
    tokenizer = new_tokenizer("words", table[TEXT][:1000].tolist(), WORDS)
    torch.manual_seed(0)
    encoder = new_encoder(
        "bert",
        vocabulary_size=len(tokenizer),
        layers=1,
        hidden_size=32,
        heads=2,
        intermediate_size=64,
        max_positions=64,
        dropout=0.1,
    )
    save_folder(paths.encoder("small"), encoder, tokenizer)


def do_job(paths: RunPaths, records: int, steps: int) -> None:
    """Fine-tune one fold for so many steps, and print the process's peak in MiB."""
    settings = load_settings(CONFIG, [ENCODER, MEMBER])
    member = settings.members["measured"]
    if not isinstance(member, TransformerMember):
        raise TypeError(f"{member.kind} is no transformer")
    rows = round((1 - TEST_SHARE) * records) * (FOLDS - 1) / FOLDS
    member = member.model_copy(update={"epochs": steps * member.batch_size / rows})
    s5_finetune.run(paths, "measured", member, 0, 0, "tokens", None, settings.compute, teaches=False, seed=0)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    print(int(peak.split()[1]) // 1024)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--job", type=Path, help="do one job in this folder; the benchmark calls itself with it")
    arguments = parser.parse_args()
    if arguments.job is not None:
        do_job(RunPaths("run", arguments.job, arguments.job), arguments.records[0], arguments.steps)
        return
    peaks: list[int] = []
    for records in arguments.records:
        with tempfile.TemporaryDirectory() as folder:
            make_run(RunPaths("run", Path(folder), Path(folder)), records)
            command = [sys.executable, __file__, "--job", folder]
            command += ["--records", str(records), "--steps", str(arguments.steps)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks.append(int(done.stdout.splitlines()[-1]))
        print(f"{records:>9} records: {peaks[-1]} MiB at the peak", flush=True)
    print(json.dumps({"records": arguments.records, "peak_mib": peaks, "ratio": round(peaks[-1] / peaks[0], 3)}))


if __name__ == "__main__":
    main()
