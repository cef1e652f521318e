"""The command line: one command a stage, and what surrounds them.

Every stage command takes `--config`, a configuration file or a run's resolved `settings.json`, and `key=value`
arguments. A user's fault ends with exit status 2 and one line on standard error; a bug gets its traceback.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from polydx.artifacts import DISK_FULL
from polydx.errors import UserError
from polydx.paths import ALL_ROWS, RunPaths
from polydx.resolve import load_settings

app = typer.Typer(
    help="From raw medical records to a tuned multi-label submission and one small deployable model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Config = Annotated[Path, typer.Option("--config", help="A configuration file, or a run's settings.json.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]…", help="Settings to change.")]
Fold = Annotated[int, typer.Option(min=0, help="Fold job, counted over all repeats from 0.")]
Round = Annotated[int, typer.Option("--round", min=0, help="Round; 0 learns from labels only.")]

T = TypeVar("T")


@app.command()
def sample(
    folder: Annotated[Path, typer.Argument(help="Folder to make; an earlier sample in it is replaced.")],
    train: Annotated[int, typer.Option(min=1)] = 1500,
    test: Annotated[int, typer.Option(min=1)] = 500,
    unlabelled: Annotated[int, typer.Option(min=1)] = 1000,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Generate the sample contest."""
    from polydx.contest.sample import write_sample

    if Path.cwd().is_relative_to(folder.resolve()):
        raise UserError(str(folder), "holds the folder you work in", "name a new folder")
    write_sample(folder, train, test, unlabelled, seed)
    print(f"sample: {train} training, {test} test, {unlabelled} unlabelled records in {folder}", file=sys.stderr)


@app.command()
def check(
    config: Annotated[Path, typer.Argument(help="A configuration file.")],
    overrides: Overrides = None,
) -> None:
    """Validate the settings and the raw data, and say what would run."""
    from polydx.plan import describe, jobs

    settings = load_settings(config, overrides or ())
    contest = settings.contest
    summary: dict[str, object] = {"run": settings.run.name, "jobs": jobs(settings)}
    if contest.sample is not None and not contest.folder.exists():
        summary["contest"] = f"would be generated in {contest.folder}"
    else:
        from polydx.stages.s1_clean import check_raw

        summary["contest"] = check_raw(contest, settings.clean)
        if contest.truth is not None and not (contest.folder / contest.truth).is_file():
            problem = "there is no such file"
            raise UserError(str(contest.folder / contest.truth), problem, "put it there, or set contest.truth=null")
    print(describe(summary))


@app.command(context_settings={"ignore_unknown_options": True})
def run(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[CONFIG] [KEY=VALUE]… [-- ENGINE OPTIONS]")] = None,
) -> None:
    """Run the whole workflow; what is up to date is not done again."""
    from polydx.engine import start

    start(arguments or ())


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
    s2_inspect.run(RunPaths(settings.run.name), settings.inspect, settings.contest.language, settings.run.seed)


@app.command()
def split(config: Config, overrides: Overrides = None) -> None:
    """Stage 3: folds."""
    from polydx.stages import s3_split

    settings = load_settings(config, overrides or ())
    s3_split.run(RunPaths(settings.run.name), settings.split, settings.run.seed)


@app.command()
def pretrain(config: Config, encoder: Annotated[str, typer.Option()], overrides: Overrides = None) -> None:
    """Stage 4: pre-train one encoder on the contest's text."""
    settings = load_settings(config, overrides or ())
    chosen = _entry(settings.encoders, "--encoder", encoder)
    from polydx.stages import s4_pretrain

    s4_pretrain.run(
        RunPaths(settings.run.name),
        encoder,
        chosen,
        settings.contest.language,
        settings.compute,
        settings.run.seed,
    )


@app.command(name="lower-states")
def lower_states(config: Config, member: Annotated[str, typer.Option()], overrides: Overrides = None) -> None:
    """Before stage 5: run a member's frozen layers over all records, once for all its folds."""
    settings = load_settings(config, overrides or ())
    chosen = _entry(settings.members, "--member", member)
    if chosen.kind != "transformer" or chosen.frozen_layers is None:
        raise UserError("--member", f"{member} freezes no layers", "set its frozen_layers, or skip this step")
    from polydx.stages.members import lower

    lower.run(RunPaths(settings.run.name), member, chosen, settings.compute)


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
    chosen = _entry(settings.members, "--member", member)
    from polydx.stages import s5_finetune

    s5_finetune.run(
        RunPaths(settings.run.name),
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
    s6_pseudo.run(RunPaths(settings.run.name), round_number, fold, tuple(settings.members), settings.pseudo)


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
    from polydx.stages import s7_distil

    s7_distil.run(
        RunPaths(settings.run.name),
        None if fold == ALL_ROWS else int(fold),
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
    s8_stack.run(
        RunPaths(settings.run.name),
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
    s9_submit.run(RunPaths(settings.run.name), settings)


@app.command(name="score-run")
def score_run(config: Config, overrides: Overrides = None) -> None:
    """After all stages: add the test scores to a run's score card, if its contest has a truth file."""
    from polydx import score as scoring

    settings = load_settings(config, overrides or ())
    scoring.score_run(RunPaths(settings.run.name), settings.contest, settings.stack, settings.run.seed)


@app.command()
def compress(config: Config, overrides: Overrides = None) -> None:
    """After a run: smaller forms of the student, each shipped only if its out-of-fold score holds."""
    from polydx import compress as compressing

    settings = load_settings(config, overrides or ())
    paths = RunPaths(settings.run.name)
    compressing.run(paths, settings.compress, settings.stack, settings.compute, settings.run.seed)


@app.command()
def score(
    submission: Path,
    truth: Path,
    labels: Annotated[Path | None, typer.Option(help="Official labels, one a line; else all that occur.")] = None,
    per_label: Annotated[bool, typer.Option("--per-label", help="Add a row for each label.")] = False,
) -> None:
    """Score a submission against a truth file; prints JSON."""
    from polydx import score as scoring
    from polydx.contest.readers import read_label_list

    names = read_label_list(labels) if labels is not None else None
    print(json.dumps(scoring.score_submission(submission, truth, names, per_label), ensure_ascii=False, indent=1))


@app.command()
def predict(
    model: Annotated[Path, typer.Option(help="A student's folder.")],
    source: Annotated[Path, typer.Option("--input", help="Records; JSON lists and Excel are read whole.")],
    target: Annotated[Path, typer.Option("--output", help="JSON lines to write; a killed job goes on.")],
    give: Annotated[Literal["labels", "probabilities", "both"], typer.Option(help="What to write.")] = "labels",
    explain: Annotated[bool, typer.Option("--explain", help="Add the record's words that drove each label.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Skip and count malformed records.")] = False,
    speed: Annotated[
        float | None, typer.Option(help="Share of the work to save, for a student with early exits; 0 saves none.")
    ] = None,
) -> None:
    """Label new records with a deployed student."""
    from polydx.deploy import predict as prediction

    prediction.predict(model, source, target, prediction.Wanted(give, explain, skip_bad, speed))


@app.command()
def package(
    model: Annotated[Path, typer.Option(help="A student's folder.")],
    target: Annotated[Path, typer.Option("--output", help="Folder to make; an earlier package in it is replaced.")],
) -> None:
    """Write the contest platform's serving folder of a student."""
    from polydx.deploy import package as packaging

    packaging.package(model, target)
    print(f"package: {target / 'model'}", file=sys.stderr)


@app.command()
def profile(
    model: Annotated[Path, typer.Option(help="A student's folder.")],
    form: Annotated[
        list[str] | None, typer.Option(help="A form to time; give it again for more, or none for all.")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(min=2, help="Length of every record; else the student's longest.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Records a batch, for the throughput.")] = 32,
    calls: Annotated[int, typer.Option(min=1, help="Timed calls, for each figure.")] = 50,
    threads: Annotated[int, typer.Option(min=1, help="Threads to compute with.")] = 1,
) -> None:
    """Count and time what a student costs in each of its forms; a table, and JSON on standard output."""
    from dataclasses import asdict

    from polydx.deploy import profile as profiling
    from polydx.report.costs import print_costs

    report = profiling.profile(model, profiling.pick_forms(form or profiling.FORMS), tokens, batch, calls, threads)
    print_costs(str(model), report)
    print(json.dumps(asdict(report)))


def _entry(entries: dict[str, T], option: str, name: str) -> T:
    if name not in entries:
        raise UserError(option, f"{name!r} is not in the configuration", "choose one of " + ", ".join(entries))
    return entries[name]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["run"]:
        # The parser drops a lone --; a second one keeps it for the engine.
        arguments.insert(1, "--")
    try:
        app(args=arguments, standalone_mode=False)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except typer.TyperException as error:
        # Without any argument the help stands there already, and the message is empty.
        if message := " ".join(error.format_message().split()).rstrip("."):
            print(f"error: {message}; see polydx --help", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        print(f"error: {error.filename or 'output'}: {error.strerror}; make room there and run again", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
