"""Commands around the stages: the sample contest, the check of a configuration, the whole workflow."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from polydx.cli.options import Overrides
from polydx.errors import UserError
from polydx.resolve import load_settings

app = typer.Typer()


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

        found = check_raw(contest, settings.clean)
        summary["contest"] = found
        for field, lost in found["not_understood"].items():
            told = f"{lost['records']} records have no {field}, since what is written is not understood"
            print(f"note: {told}; the first: {lost['first']}", file=sys.stderr)
        if found["most_labels"] > settings.stack.max_labels:
            cut = f"a training record has {found['most_labels']} labels, an answer at most {settings.stack.max_labels}"
            print(f"note: {cut}; raise stack.max_labels if test records may have as many", file=sys.stderr)
        if contest.truth is not None and not (contest.folder / contest.truth).is_file():
            problem = "there is no such file"
            raise UserError(str(contest.folder / contest.truth), problem, "put it there, or set contest.truth=null")
    print(describe(summary))


@app.command(context_settings={"ignore_unknown_options": True})
def run(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[CONFIG] [KEY=VALUE]… [-- ENGINE OPTIONS]")] = None,
) -> None:
    """Run the whole workflow; what is up to date is not done again. Options behind a -- go to Snakemake."""
    from polydx.engine import start

    start(arguments or ())
