"""How benchmarks end on a user's fault: as the commands of polydx do."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

from polydx.errors import UserError

Arguments = ParamSpec("Arguments")


def with_exit_status(main: Callable[Arguments, None]) -> Callable[Arguments, int]:
    """Let a benchmark return its exit status: 0, or 2 after one line on standard error where the user is at fault."""

    @functools.wraps(main)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> int:
        try:
            main(*args, **kwargs)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        return 0

    return run
