"""After a run: the student's smaller forms, each judged out of fold, and those shipped whose score holds.

Every fold student is made smaller with nothing of its validation rows and predicts them; the forms are then scored as
the student itself is. Under repeated folds those of the first repeat stand for the one student that is shipped: the
mean of several would be another, better model. Only what stays within the bound is made of the student on all rows and
shipped, with the thresholds of its own and the card's fewest and most labels that it was judged by, and with the
student's early exits where they fit.
"""

import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from polydx.artifacts import Floats, read_array, replacing, write_json
from polydx.config import Compress, Compute, Stack
from polydx.contest.records import DUPLICATE_GROUP, PART, TEXT, TRAIN, Records, read_records
from polydx.deploy.exit_savings import has_exits
from polydx.deploy.forms import KEEP_EXITS, Material, Sizes, SmallerForm, make_form
from polydx.deploy.shipping import Verdict, judge_forms
from polydx.deploy.student_card import StudentCard, read_card, write_card
from polydx.deploy.student_model import load_model
from polydx.ensemble.thresholds import DecisionRule
from polydx.errors import UserError
from polydx.judge.folds import Folds, read_folds
from polydx.judge.metrics import Mask
from polydx.judge.nested import outer_folds
from polydx.model.encoders import load_tokenizer
from polydx.model.exit_speeds import copy_exits
from polydx.model.tokens import encode
from polydx.names import FormName
from polydx.paths import RunPaths, need
from polydx.progress import Reporter
from polydx.train.classification import predict_probabilities
from polydx.train.device import prepare

FORMS = "student_forms"
"""Folder of the shipped forms, a folder each, and `verdicts.json`, in a run's submission."""


def run(paths: RunPaths, compress: Compress, stack: Stack, compute: Compute, seed: int) -> list[Verdict]:
    """Judge every form, ship those that hold, and say of each what became of it.

    Args:
        paths: The run's files; the student must have been shipped.
        compress: Forms, their sizes and the bound.
        stack: How thresholds are fitted; the fewest and most labels are those of the student's card.
        compute: Threads.
        seed: The run's seed: it draws the calibration rows.

    Raises:
        UserError: The run has no student yet, lacks what one of its stages wrote, or a form can't be made of it.
    """
    shipped = paths.submission / "student"
    if not shipped.is_dir():
        raise UserError(str(shipped), "is absent", "run the whole workflow with distil.enabled=true first")
    prepare(compute.threads, seed)
    need(paths.records, "clean", since="any more")
    need(paths.folds, "split", since="any more")
    card, records = read_card(shipped), read_records(paths.records, paths.labels)
    folds = read_folds(paths.folds).first_repeat()
    for job in range(folds.jobs):
        need(paths.student(job).model, f"distil --fold {job}", since="any more")
    targets, scored = records.targets(), folds.scored()
    forms = _out_of_fold(paths, records, folds, card, compress, seed)
    known = targets[scored] > 0
    rule = DecisionRule(stack.threshold_prior, card.min_labels, card.max_labels, stack.thresholds)
    judged = judge_forms(
        folds.out_of_fold([read_array(paths.student(job).validation) for job in range(folds.jobs)])[scored],
        forms,
        known,
        outer_folds(folds, targets, records.part(TRAIN)[DUPLICATE_GROUP].to_numpy(dtype=np.int64), seed),
        rule,
        compress.max_drop,
    )
    verdicts = [_about_exits(verdict, name, shipped) for name, verdict in zip(compress.forms, judged, strict=True)]
    with replacing(paths.submission / FORMS) as folder:
        folder.mkdir()
        for name, verdict in zip(compress.forms, verdicts, strict=True):
            if verdict.ships:
                own = replace(card, thresholds=tuple(rule.fit(forms[name], known).tolist()))
                _ship(shipped, folder / name, name, records, own, compress, seed)
        write_json(folder / "verdicts.json", [asdict(verdict) for verdict in verdicts])
    for verdict in verdicts:
        print(f"compress {verdict.form}: {verdict.reason}", file=sys.stderr)
    return verdicts


def _out_of_fold(
    paths: RunPaths, records: Records, folds: Folds, card: StudentCard, compress: Compress, seed: int
) -> dict[str, Floats]:
    """Out-of-fold probabilities of every form, `[scored rows, labels]`."""
    found: dict[FormName, list[Floats]] = {name: [] for name in compress.forms}
    with Reporter("compress", folds.jobs * len(compress.forms), "fold students' forms") as reporter:
        for job in range(folds.jobs):
            student, learned = paths.student(job).model, folds.training(job)
            for name in compress.forms:
                found[name].append(_validated(student, name, records, learned, card, compress, seed))
                reporter.step(note=name)
    return {name: folds.out_of_fold(arrays)[folds.scored()] for name, arrays in found.items()}


def _validated(
    folder: Path, name: FormName, records: Records, learned: Mask, card: StudentCard, compress: Compress, seed: int
) -> Floats:
    """Probabilities of the rows that a fold student did not learn from, by one form of it."""
    texts = np.array(records.part(TRAIN)[TEXT].tolist(), dtype=object)[~learned].tolist()
    with tempfile.TemporaryDirectory(prefix="polydx_compress_") as work:
        form = _form(folder, name, records, learned, card, compress, seed, Path(work))
        tokens = encode(form.tokenizer, texts, card.max_tokens)
        rows, labels = np.arange(len(texts)), len(card.labels)
        return predict_probabilities(form.score, tokens, rows, labels, torch.device("cpu"), bf16=False)


def _ship(
    student: Path, target: Path, name: FormName, records: Records, card: StudentCard, compress: Compress, seed: int
) -> None:
    """Write one form of the student on all rows; `card` holds the form's own thresholds."""
    everything = np.ones(int((records.table[PART] == TRAIN).sum()), dtype=bool)
    with tempfile.TemporaryDirectory(prefix="polydx_compress_") as work:
        _form(student, name, records, everything, card, compress, seed, Path(work)).write(target)
    write_card(target, card)
    if name in KEEP_EXITS:
        copy_exits(student, target)


def _about_exits(verdict: Verdict, name: FormName, student: Path) -> Verdict:
    """Add to a shipped form's verdict what becomes of the student's early exits, if it has any."""
    if not verdict.ships or not has_exits(student):
        return verdict
    fate = "early exits kept" if name in KEEP_EXITS else "early exits lost, they need the student's own layers"
    return replace(verdict, reason=f"{verdict.reason}; {fate}")


def _form(
    folder: Path,
    name: FormName,
    records: Records,
    learned: Mask,
    card: StudentCard,
    compress: Compress,
    seed: int,
    work: Path,
) -> SmallerForm:
    """Make one form with the rows that its student learned from, and the texts without labels."""
    train = records.table[PART] == TRAIN
    own = records.table[TEXT][train][learned].tolist()
    drawn = np.sort(np.random.default_rng(seed).permutation(len(own))[: compress.calibration_rows])
    material = Material(
        texts=[*own, *records.table[TEXT][~train].tolist()],
        calibration=[own[row] for row in drawn],
        targets=records.targets()[learned][drawn],
        max_tokens=card.max_tokens,
    )
    sizes = Sizes(compress.kept_neurons, compress.kept_heads, compress.embedding_rank)
    return make_form(name, load_model(folder), load_tokenizer(folder), material, sizes, work)
