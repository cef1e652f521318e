"""The one error a user sees: what was wrong, where, and how to mend it."""

SHIP_AGAIN = "ship the student again (polydx submit)"
"""The fix for a student's folder that is damaged."""


class UserError(Exception):
    """A fault in the user's data, settings or call; the command line prints it as one line and exits with status 2.

    Never put a record's text into it: records are private.

    Attributes:
        place: Where; the three parts are as they were given.
        problem: What is wrong.
        fix: What to do about it.
    """

    def __init__(self, place: str, problem: str, fix: str) -> None:
        """Join the three parts into one line.

        Args:
            place: The file with its line or row, the field, or the option, as the user knows it.
            problem: What is wrong, with the offending value.
            fix: What to do about it.
        """
        self.place, self.problem, self.fix = place, problem, fix
        super().__init__(" ".join(f"{place}: {problem}; {fix}".split()))
