"""Options and arguments that several commands take."""

from pathlib import Path
from typing import Annotated, TypeVar

import typer

from polydx.config import Settings
from polydx.errors import UserError
from polydx.plan import fold_jobs

Config = Annotated[Path, typer.Option("--config", help="A configuration file, or a run's settings.json.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]…", help="Settings to change.")]
Fold = Annotated[int, typer.Option(min=0, help="Fold job, counted over all repeats from 0.")]
Round = Annotated[int, typer.Option("--round", min=0, help="Round; 0 learns from labels only.")]

T = TypeVar("T")


def check_fold(settings: Settings, fold: int) -> int:
    """Return a fold job's number.

    Raises:
        UserError: The split has no such job.
    """
    jobs = fold_jobs(settings.split)
    if fold >= jobs:
        raise UserError("--fold", f"is {fold}", f"stay below the {jobs} fold jobs of the configuration")
    return fold


def entry_of(entries: dict[str, T], option: str, name: str) -> T:
    """Return the entry of the configuration that an option names.

    Raises:
        UserError: There is none of that name.
    """
    if name not in entries:
        raise UserError(option, f"{name!r} is not in the configuration", "choose one of " + ", ".join(entries))
    return entries[name]
