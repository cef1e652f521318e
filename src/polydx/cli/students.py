"""Commands that take a deployed student: label records with it, package it, measure what it costs."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from polydx.errors import UserError
from polydx.names import ExitRuleName, Give, TableFormat

app = typer.Typer()


@app.command()
def predict(
    model: Annotated[Path, typer.Option(help="A student's folder.")],
    source: Annotated[Path, typer.Option("--input", help="Records; JSON lists and Excel are read whole.")],
    target: Annotated[Path, typer.Option("--output", help="JSON lines to write; a killed job goes on.")],
    give: Annotated[Give, typer.Option(help="What to write.")] = "labels",
    explain: Annotated[bool, typer.Option("--explain", help="Add the record's words that drove each label.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Skip and count malformed records.")] = False,
    speed: Annotated[
        float | None, typer.Option(help="Share of the work to save, for a student with early exits; 0 saves none.")
    ] = None,
    exit_rule: Annotated[
        ExitRuleName | None,
        typer.Option(
            help="With --speed, leave once an answer hardly changes (default), its labels stay or it is sure."
        ),
    ] = None,
    table_format: Annotated[
        TableFormat, typer.Option("--format", help="How the records are stored; auto goes by the file's ending.")
    ] = "auto",
) -> None:
    """Label new records with a deployed student."""
    from polydx.deploy import predict as prediction
    from polydx.deploy.student_model import EXIT_RULE

    if exit_rule is not None and speed is None:
        raise UserError("--exit-rule", "says how records leave early, and without --speed none does", "give both")
    wanted = prediction.Wanted(give, explain, skip_bad, speed, exit_rule or EXIT_RULE, table_format)
    prediction.predict(model, source, target, wanted)


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
    source: Annotated[
        Path | None, typer.Option("--input", help="Records to time on, and early exits too; else random tokens.")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(min=2, help="Length of random records; else the student's longest.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Records a batch, for the throughput.")] = 32,
    calls: Annotated[int, typer.Option(min=1, help="Timed calls, for each figure.")] = 50,
    threads: Annotated[int, typer.Option(min=1, help="Threads to compute with.")] = 1,
) -> None:
    """Count and time what a student costs in each of its forms; a table, and JSON on standard output."""
    from dataclasses import asdict

    from polydx.deploy import profile as profiling
    from polydx.report.costs import print_costs

    forms = profiling.pick_forms(form or profiling.FORMS)
    report = profiling.profile(model, forms, source, tokens, batch, calls, threads)
    print_costs(str(model), report)
    print(json.dumps(asdict(report)))
