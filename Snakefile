"""The pipeline: one rule a stage. Started by `bash run.sh`, which resolves the settings first.

A job is done again when its inputs, its part of the settings, or the code behind it changed: the engine's own code
trigger sees only this file, so each rule carries its settings and a hash of the modules its stage imports as params.
Stages write their own files atomically and find them through `RunPaths`; the rules only say what depends on what.
"""

import json
import os
from pathlib import Path

from polydx.config import Settings
from polydx.paths import ALL_ROWS, RunPaths
from polydx.plan import fold_jobs, lower_states, token_files
from polydx.provenance import code_hash
from polydx.resolve import load_settings
from polydx.stages.readings import member_readings, student_reading, tokens_name, training_reading

SETTINGS = load_settings(Path(config["settings"]))
PATHS = RunPaths(SETTINGS.run.name)
FOLDS = range(fold_jobs(SETTINGS.split))
ROUNDS = SETTINGS.pseudo.rounds
STUDENT = SETTINGS.distil.enabled
CONTEST = SETTINGS.contest
THREADS = SETTINGS.compute.threads
PRETRAINING_THREADS = SETTINGS.compute.pretraining_threads
# Of as many as the run is given; without any GPU the engine is given no number, and holds nobody back.
GPU = 0 if SETTINGS.compute.device == "cpu" else 1
POLYDX = f"polydx {{rule}} --config {PATHS.settings}"

envvars_for_jobs = {
    "POLYDX_UNDER_ENGINE": "1",
    "OMP_NUM_THREADS": str(THREADS),
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONHASHSEED": "0",
}
shell.prefix("set -euo pipefail; " + "".join(f"export {name}={value}; " for name, value in envvars_for_jobs.items()))


def section(*parts):
    """Settings that a job depends on, as text that changes when they do."""
    return json.dumps([part.model_dump(mode="json") if hasattr(part, "model_dump") else part for part in parts])


def raw_tables():
    names = [*CONTEST.train, CONTEST.test, CONTEST.unlabelled, CONTEST.labels, CONTEST.aliases]
    return [str(CONTEST.folder / name) for name in names if name is not None]


def stamps(files):
    """Sizes and times of the user's files: one that is replaced by an older one would not count as changed otherwise."""
    if CONTEST.sample is not None:
        # Made by a rule, whose own settings and code say when they change.
        return None
    found = [os.stat(file) for file in files if os.path.exists(file)]
    return [(each.st_size, each.st_mtime_ns) for each in found]


def fold_outputs(member, round_number, fold):
    files = PATHS.fold_model(member, round_number, fold)
    written = [files.validation, files.test, files.unlabelled, files.report]
    if STUDENT and round_number == ROUNDS:
        written.append(files.training)
    return [str(path) for path in written]


def all_fold_outputs(rounds, folds=FOLDS):
    return [
        path
        for member in SETTINGS.members
        for round_number in rounds
        for fold in folds
        for path in fold_outputs(member, round_number, fold)
    ]


def student_outputs(fold):
    files = PATHS.student(fold)
    written = [files.test, files.unlabelled, files.report] + ([] if fold == ALL_ROWS else [files.validation])
    return [str(path) for path in written]


rule all:
    input:
        PATHS.scores,
        PATHS.inspection,


if CONTEST.sample is not None:

    rule sample:
        output:
            [str(CONTEST.folder / name) for name in ("train.json", "test.json", "unlabelled.json", "labels.txt", "truth.json")],
        params:
            settings=section(CONTEST.sample),
            code=code_hash("polydx.contest.sample"),
        shell:
            f"polydx sample {CONTEST.folder} --train {CONTEST.sample.train} --test {CONTEST.sample.test}"
            f" --unlabelled {CONTEST.sample.unlabelled} --seed {CONTEST.sample.seed}"


rule clean:
    input:
        raw_tables(),
    output:
        PATHS.records,
        PATHS.labels,
        PATHS.cleaning,
    params:
        settings=section(CONTEST.model_copy(update={"truth": None}), SETTINGS.clean),
        raw=stamps(raw_tables()),
        code=code_hash("polydx.stages.s1_clean"),
    shell:
        POLYDX


rule inspect:
    input:
        PATHS.records,
        PATHS.labels,
    output:
        PATHS.inspection,
        directory(PATHS.inspection_figures),
    params:
        settings=section(SETTINGS.inspect, CONTEST.language, SETTINGS.run.seed),
        code=code_hash("polydx.stages.s2_inspect"),
    shell:
        POLYDX


rule split:
    input:
        PATHS.records,
        PATHS.labels,
    output:
        PATHS.folds,
        PATHS.coverage,
    params:
        settings=section(SETTINGS.split, SETTINGS.run.seed),
        code=code_hash("polydx.stages.s3_split"),
    shell:
        POLYDX


rule pretrain:
    input:
        PATHS.records,
    output:
        directory(PATHS.encoder("{encoder}")),
    params:
        settings=lambda wildcards: section(
            SETTINGS.encoders[wildcards.encoder], CONTEST.language, PRETRAINING_THREADS, SETTINGS.run.seed
        ),
        code=code_hash("polydx.stages.s4_pretrain"),
    threads: PRETRAINING_THREADS
    resources:
        gpu=GPU,
    shell:
        POLYDX + " --encoder {wildcards.encoder}"


def tokens(encoder, *readings):
    """Files of all records' tokens that are made with an encoder's tokenizer and read so."""
    return sorted({str(PATHS.tokens(tokens_name(encoder, reading))) for reading in readings})


# A file's name holds all settings that it depends on. It is kept: a member that is trained anew for another reason
# reads it again, and an id takes no more room than the letters it stands for.
for name, made in token_files(SETTINGS).items():

    rule:
        name:
            f"tokens_{name}"
        input:
            PATHS.records,
            PATHS.encoder(made.encoder),
        output:
            PATHS.tokens(name),
        params:
            file=name,
            code=code_hash("polydx.stages.token_files"),
        shell:
            f"polydx tokens --config {PATHS.settings} --file {{params.file}}"


for states, name in lower_states(SETTINGS).items():

    rule:
        name:
            f"lower_states_{name}"
        input:
            PATHS.records,
            PATHS.encoder(SETTINGS.members[name].encoder),
            tokens(SETTINGS.members[name].encoder, training_reading(SETTINGS.members[name])),
        output:
            temp(directory(PATHS.lower_states(states))),
        params:
            member=name,
            settings=section(states, SETTINGS.compute.threads),
            code=code_hash("polydx.stages.members.lower"),
        threads: THREADS
        resources:
            gpu=GPU,
        shell:
            f"polydx lower-states --config {PATHS.settings} --member {{params.member}}"


# One rule a member, since a member's inputs and outputs are known only from its settings.
for name, member in SETTINGS.members.items():
    for round_number in range(ROUNDS + 1):

        rule:
            name:
                f"finetune_{name}_round{round_number}"
            input:
                PATHS.records,
                PATHS.labels,
                PATHS.folds,
                [PATHS.encoder(member.encoder)] if member.kind == "transformer" else [],
                (
                    tokens(member.encoder, *member_readings(member))
                    if member.kind == "transformer"
                    else []
                ),
                [PATHS.lower_states(member.lower_states)] if getattr(member, "lower_states", None) else [],
                [PATHS.pseudo(round_number, "{fold}")] if round_number else [],
                (
                    [PATHS.fold_model(name, round_number - 1, "{fold}").report]
                    if round_number and SETTINGS.pseudo.continue_weights
                    else []
                ),
            output:
                fold_outputs(name, round_number, "{fold}"),
                directory(PATHS.fold_model(name, round_number, "{fold}").model),
            params:
                member=name,
                round_number=round_number,
                settings=section(
                    member,
                    CONTEST.language,
                    SETTINGS.pseudo if round_number else None,
                    SETTINGS.compute.threads,
                    SETTINGS.run.seed,
                ),
                code=code_hash("polydx.stages.s5_finetune"),
            threads: THREADS
            resources:
                gpu=GPU if member.kind == "transformer" else 0,
            shell:
                # The engine builds this text when the job runs, after the loop: values of the loop come through params.
                f"polydx finetune --config {PATHS.settings} --member {{params.member}} --round {{params.round_number}}"
                " --fold {wildcards.fold}"


rule pseudo:
    input:
        lambda wildcards: all_fold_outputs([int(wildcards.round) - 1], [int(wildcards.fold)]),
        PATHS.labels,
    output:
        directory(PATHS.pseudo("{round}", "{fold}")),
    params:
        settings=section(SETTINGS.pseudo),
        code=code_hash("polydx.stages.s6_pseudo"),
    shell:
        POLYDX + " --round {wildcards.round} --fold {wildcards.fold}"


def teaching(fold):
    """A fold's student learns from that fold's teachers only; the student on all rows from all of them.

    Where teachers are weighed by their scores, those of all folds are looked at.
    """
    every_fold = fold == ALL_ROWS or SETTINGS.distil.teachers == "by_score"
    return all_fold_outputs([ROUNDS], FOLDS if every_fold else [fold])


def shown_layers(fold):
    """Models whose layers a student starts from or sees beside it; on all rows, those of fold 0."""
    members = {SETTINGS.distil.start, SETTINGS.distil.lessons.teacher} - {None}
    return [PATHS.fold_model(member, ROUNDS, 0 if fold == ALL_ROWS else fold).model for member in sorted(members)]


for fold in [*FOLDS, ALL_ROWS] if STUDENT else []:

    rule:
        name:
            f"distil_{fold}"
        input:
            PATHS.records,
            PATHS.labels,
            PATHS.folds,
            PATHS.encoder(SETTINGS.distil.encoder),
            tokens(SETTINGS.distil.encoder, student_reading(SETTINGS.distil)),
            teaching(fold),
            shown_layers(fold),
        output:
            student_outputs(fold),
            directory(PATHS.student(fold).model),
        params:
            fold=fold,
            settings=section(SETTINGS.distil, list(SETTINGS.members), ROUNDS, SETTINGS.compute.threads, SETTINGS.run.seed),
            code=code_hash("polydx.stages.s7_distil"),
        threads: THREADS
        resources:
            gpu=GPU,
        shell:
            f"polydx distil --config {PATHS.settings} --fold {{params.fold}}"


rule stack:
    input:
        PATHS.records,
        PATHS.labels,
        PATHS.folds,
        all_fold_outputs(range(ROUNDS + 1)),
        [path for fold in FOLDS for path in student_outputs(fold)] if STUDENT else [],
    output:
        PATHS.ledger,
    params:
        settings=section(SETTINGS.stack, list(SETTINGS.members), ROUNDS, STUDENT, SETTINGS.run.seed),
        code=code_hash("polydx.stages.s8_stack"),
    threads: workflow.cores
    shell:
        POLYDX


rule submit:
    input:
        PATHS.ledger,
        PATHS.records,
        [PATHS.encoder(name) for name in SETTINGS.encoders],
        student_outputs(ALL_ROWS) if STUDENT else [],
    output:
        PATHS.card,
        directory(PATHS.submission / "figures"),
    params:
        settings=section(SETTINGS),
        code=code_hash("polydx.stages.s9_submit"),
    shell:
        POLYDX


rule score_run:
    input:
        PATHS.card,
        [str(CONTEST.folder / CONTEST.truth)] if CONTEST.truth else [],
    output:
        PATHS.scores,
    params:
        settings=section(CONTEST, SETTINGS.stack, SETTINGS.run.seed),
        truth=stamps([str(CONTEST.folder / CONTEST.truth)] if CONTEST.truth else []),
        code=code_hash("polydx.score"),
    shell:
        f"polydx score-run --config {PATHS.settings}"
