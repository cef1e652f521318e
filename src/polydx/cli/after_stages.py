"""Commands after all stages: test scores, and smaller forms of the student."""

import json
from pathlib import Path
from typing import Annotated

import typer

from polydx.cli.options import Config, Overrides
from polydx.errors import UserError
from polydx.paths import RunPaths, need
from polydx.resolve import load_settings

app = typer.Typer()


@app.command(name="score-run")
def score_run(config: Config, overrides: Overrides = None) -> None:
    """After all stages: add the test scores to a run's score card, if its contest has a truth file."""
    from polydx import score as scoring

    settings = load_settings(config, overrides or ())
    paths = RunPaths(settings.run.name)
    need(paths.card, "submit")
    scoring.score_run(paths, settings.contest, settings.stack, settings.run.seed)


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
    delimiter: Annotated[str, typer.Option(help="What joins labels in a CSV.")] = "|",
) -> None:
    """Score a submission against a truth file, JSON, JSON lines or CSV of ids and labels; prints JSON."""
    from polydx import score as scoring
    from polydx.contest.readers import read_label_list

    if not delimiter:
        raise UserError("--delimiter", "is empty", "give what joins the labels, such as '|'")
    names = read_label_list(labels) if labels is not None else None
    scores = scoring.score_submission(submission, truth, names, per_label, delimiter)
    print(json.dumps(scores, ensure_ascii=False, indent=1))
