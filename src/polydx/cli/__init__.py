"""The command line: one command a stage, and what surrounds them.

Every stage command takes `--config`, a configuration file or a run's resolved `settings.json`, and `key=value`
arguments. A user's fault ends with exit status 2 and one line on standard error; a bug gets its traceback. Commands
import what they run when they run, so that help and faults in the arguments come at once.
"""

import sys
from collections.abc import Sequence

import typer

from polydx.artifacts import DISK_FULL
from polydx.cli import after_stages, stages, students, workflow
from polydx.errors import UserError

app = typer.Typer(
    help="From raw medical records to a tuned multi-label submission and one small deployable model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
# The order in which the help lists them.
for group in (workflow, stages, after_stages, students):
    app.add_typer(group.app)

INTERRUPTED = 130
"""The status that a command ends with, without a word, where Ctrl-C stopped it: 128 and the signal's number."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["run"] and arguments[1:2] != ["--help"]:
        # The parser drops a lone --; a second one keeps it for the engine.
        arguments.insert(1, "--")
    try:
        status: object = app(args=arguments, standalone_mode=False)
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
    if status == INTERRUPTED:
        print("interrupted; run it again to go on", file=sys.stderr)
    return status if isinstance(status, int) else 0
