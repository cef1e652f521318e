"""One command a stage, and the steps before stage 5."""

from typing import Annotated

import typer

from polydx.cli.needed import (
    need_all,
    need_encoder,
    need_for_training,
    need_members,
    need_records,
    need_stacked,
    need_teachers,
)
from polydx.cli.options import Config, Fold, Overrides, Round, check_fold, entry_of
from polydx.errors import UserError
from polydx.paths import ALL_ROWS, RunPaths
from polydx.plan import fold_jobs
from polydx.resolve import load_settings

app = typer.Typer()


@app.command()
def clean(config: Config, overrides: Overrides = None) -> None:
    """Stage 1: raw tables to typed, cleaned records."""
    from polydx.stages import s1_clean

    settings = load_settings(config, overrides or ())
    s1_clean.run(RunPaths(settings.run.name), settings.contest, settings.clean)


@app.command()
def inspect(config: Config, overrides: Overrides = None) -> None:
    """Stage 2: labels, lengths, drift and leaks of the records."""
    from polydx.stages import s2_inspect

    settings = load_settings(config, overrides or ())
    paths = RunPaths(settings.run.name)
    need_records(paths)
    s2_inspect.run(paths, settings.inspect, settings.contest.language, settings.run.seed)


@app.command()
def split(config: Config, overrides: Overrides = None) -> None:
    """Stage 3: folds."""
    from polydx.stages import s3_split

    settings = load_settings(config, overrides or ())
    paths = RunPaths(settings.run.name)
    need_records(paths)
    s3_split.run(paths, settings.split, settings.run.seed)


@app.command()
def pretrain(config: Config, encoder: Annotated[str, typer.Option()], overrides: Overrides = None) -> None:
    """Stage 4: pre-train one encoder on the contest's text."""
    settings = load_settings(config, overrides or ())
    chosen = entry_of(settings.encoders, "--encoder", encoder)
    paths = RunPaths(settings.run.name)
    need_records(paths)
    from polydx.stages import s4_pretrain

    s4_pretrain.run(
        paths,
        encoder,
        chosen,
        settings.contest.language,
        settings.compute,
        settings.run.seed,
    )


@app.command()
def tokens(
    config: Config,
    file: Annotated[str, typer.Option(help="Its name; a wrong one is answered with the right ones.")],
    overrides: Overrides = None,
) -> None:
    """Before stage 5: encode all records as some of the models read them, once for all of these."""
    from polydx.plan import token_files
    from polydx.stages.token_files import open_tokens

    settings = load_settings(config, overrides or ())
    chosen, paths = entry_of(token_files(settings), "--file", file), RunPaths(settings.run.name)
    need_records(paths)
    need_encoder(paths, chosen.encoder)
    open_tokens(paths, *chosen)


@app.command(name="lower-states")
def lower_states(config: Config, member: Annotated[str, typer.Option()], overrides: Overrides = None) -> None:
    """Before stage 5: run a member's frozen layers over all records, once for all its folds."""
    settings = load_settings(config, overrides or ())
    chosen = entry_of(settings.members, "--member", member)
    if chosen.kind != "transformer" or chosen.frozen_layers is None:
        raise UserError("--member", f"{member} freezes no layers", "set its frozen_layers, or skip this step")
    paths = RunPaths(settings.run.name)
    need_records(paths)
    need_encoder(paths, chosen.encoder)
    from polydx.stages.members import lower

    lower.run(paths, member, chosen, settings.compute)


@app.command()
def finetune(
    config: Config,
    member: Annotated[str, typer.Option()],
    fold: Fold,
    round_number: Round = 0,
    overrides: Overrides = None,
) -> None:
    """Stage 5: train one member on one fold in one round."""
    settings = load_settings(config, overrides or ())
    chosen, paths = entry_of(settings.members, "--member", member), RunPaths(settings.run.name)
    need_for_training(paths, settings, member, round_number, check_fold(settings, fold))
    from polydx.stages import s5_finetune

    s5_finetune.run(
        paths,
        member,
        chosen,
        round_number,
        fold,
        settings.contest.language,
        settings.pseudo if round_number > 0 else None,
        settings.compute,
        settings.distil.enabled and round_number == settings.pseudo.rounds,
        settings.run.seed,
    )


@app.command()
def pseudo(config: Config, fold: Fold, round_number: Round = 1, overrides: Overrides = None) -> None:
    """Stage 6: choose the pseudo-labelled rows that one fold may train on."""
    from polydx.stages import s6_pseudo

    settings = load_settings(config, overrides or ())
    paths, job = RunPaths(settings.run.name), check_fold(settings, fold)
    need_records(paths, folds=True)
    need_members(paths, settings, round_number - 1, [job])
    s6_pseudo.run(paths, round_number, fold, tuple(settings.members), settings.pseudo)


@app.command()
def distil(
    config: Config,
    fold: Annotated[str, typer.Option(help=f"Fold job, or {ALL_ROWS!r} for the student that is shipped.")],
    overrides: Overrides = None,
) -> None:
    """Stage 7: teach one student."""
    if fold != ALL_ROWS and not fold.isdecimal():
        raise UserError("--fold", f"is {fold!r}", f"give a number or {ALL_ROWS}")
    settings = load_settings(config, overrides or ())
    if not settings.distil.enabled:
        raise UserError("distil.enabled", "is false", "set it to true, or skip this stage")
    paths, jobs = RunPaths(settings.run.name), range(fold_jobs(settings.split))
    job = None if fold == ALL_ROWS else check_fold(settings, int(fold))
    need_records(paths, folds=True)
    need_encoder(paths, settings.distil.encoder)
    # Teachers' scores are those of all folds.
    every_fold = settings.distil.teachers == "by_score"
    need_teachers(paths, settings, jobs if job is None or every_fold else [job])
    from polydx.stages import s7_distil

    s7_distil.run(
        paths,
        job,
        settings.distil,
        tuple(settings.members),
        settings.pseudo.rounds,
        settings.compute,
        settings.run.seed,
    )


@app.command()
def stack(config: Config, overrides: Overrides = None) -> None:
    """Stage 8: fuse, tune thresholds, and score honestly."""
    from polydx.stages import s8_stack

    settings = load_settings(config, overrides or ())
    paths = RunPaths(settings.run.name)
    need_all(paths, settings)
    s8_stack.run(
        paths,
        settings.stack,
        tuple(settings.members),
        settings.pseudo.rounds,
        settings.distil.enabled,
        settings.compute.cores,
        settings.run.seed,
    )


@app.command()
def submit(config: Config, overrides: Overrides = None) -> None:
    """Stage 9: write and validate the submission, the score card and the student."""
    from polydx.stages import s9_submit

    settings = load_settings(config, overrides or ())
    paths = RunPaths(settings.run.name)
    need_stacked(paths, settings)
    s9_submit.run(paths, settings)
