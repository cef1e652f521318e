"""A ledger's work: what is made once for all jobs, and stage 5 for each of them."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from polydx.artifacts import read_array, read_json, replacing, write_array, write_json
from polydx.config import Settings, TransformerMember
from polydx.contest.records import PART, TRAIN
from polydx.paths import RunPaths
from polydx.stages.readings import member_readings, tokens_name
from technique_ledger.plan import TECHNIQUES, Job, Ledger, all_rows, labelled_rows, provenance


def prepare(ledger: Ledger) -> None:
    """Clean, split and pre-train once, and set the labelled records apart."""
    # With torch these take seconds to import, and a ledger that is complete needs none of them.
    from polydx.stages import s1_clean, s3_split, s4_pretrain

    settings, paths, labelled = ledger.plain, all_rows(ledger.folder), labelled_rows(ledger.folder)
    encoder, seed = encoder_of(settings, ledger.member), settings.run.seed
    s1_clean.run(paths, settings.contest, settings.clean)
    s3_split.run(paths, settings.split, seed)
    s4_pretrain.run(paths, encoder, settings.encoders[encoder], settings.contest.language, settings.compute, seed)
    # Without partitions: an = in the path is no column.
    records = pq.read_table(paths.records, filters=[(PART, "==", TRAIN)], partitioning=None)
    with replacing(labelled.records) as temporary:
        pq.write_table(records, temporary)
    write_json(labelled.labels, read_json(paths.labels))
    write_json(ledger.made_by, provenance(ledger))


def encode_and_run_frozen_layers(jobs: Sequence[Job]) -> None:
    """Encode the labelled records and run frozen layers over them, unless that is done, once for jobs alike."""
    from polydx.stages.members import lower
    from polydx.stages.token_files import open_tokens

    for job in jobs:
        member, labelled = member_of(job.settings, job.member), labelled_rows(job.folder)
        link(labelled.encoder(member.encoder), all_rows(job.folder).encoder(member.encoder))
        for reading in member_readings(member):
            if not labelled.tokens(tokens_name(member.encoder, reading)).exists():
                open_tokens(labelled, member.encoder, reading)
        if member.lower_states is not None and not labelled.lower_states(member.lower_states).exists():
            lower.run(labelled, job.member, member, job.settings.compute)


def encoder_of(settings: Settings, member: str) -> str:
    """Name of the encoder of a transformer member."""
    return member_of(settings, member).encoder


def member_of(settings: Settings, member: str) -> TransformerMember:
    """A transformer member's settings."""
    chosen = settings.members[member]
    assert isinstance(chosen, TransformerMember)
    return chosen


def train(job: Job) -> str:
    """Run stage 5 in a run of its own, whose earlier stages are links; keep the probabilities and the cost."""
    from polydx.stages import s5_finetune
    from polydx.stages.members import transformer  # noqa: F401 - its import is no part of the cost

    paths, settings = RunPaths(job.name, job.folder / "work"), job.settings
    member, labelled = member_of(settings, job.member), labelled_rows(job.folder)
    link(paths.records.parent, labelled.records.parent)
    link(paths.folds.parent, all_rows(job.folder).folds.parent)
    link(paths.encoder(member.encoder), all_rows(job.folder).encoder(member.encoder))
    for reading in member_readings(member):
        tokens = tokens_name(member.encoder, reading)
        link(paths.tokens(tokens), labelled.tokens(tokens))
    if member.lower_states is not None:
        link(paths.lower_states(member.lower_states), labelled.lower_states(member.lower_states))
    resumed = any(paths.checkpoints("").glob("*"))
    started = time.process_time()
    language, compute = settings.contest.language, settings.compute
    s5_finetune.run(
        paths, job.member, settings.members[job.member], 0, job.fold, language, None, compute, False, job.seed
    )
    seconds = None if resumed else round(time.process_time() - started, 2)
    write_array(job.probabilities, read_array(paths.fold_model(job.member, 0, job.fold).validation))
    write_json(job.result, {"setting": TECHNIQUES.get(job.technique), "processor_seconds": seconds})
    shutil.rmtree(paths.root)
    return job.name


def link(place: Path, target: Path) -> None:
    """Let a file or folder stand for another, unless it does so already."""
    if not place.is_symlink():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target.resolve())
