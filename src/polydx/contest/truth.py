"""Reads the answers of the test records. Only the scoring rule, which runs after all stages, may import this."""

from pathlib import Path

from polydx.contest.files import parse_json, read_text
from polydx.contest.label_sets import label_sets_from_json
from polydx.contest.readers import ColumnRoles, read_labels
from polydx.contest.tables import TableLayout

_SETTING = "contest.truth"


def read_truth(path: Path, layout: TableLayout, roles: ColumnRoles) -> dict[str, tuple[str, ...]]:
    """Read the labels of every test record as they are written there; aliases are not replaced.

    Args:
        path: A JSON object `{id: [labels]}`, or a table in the contest's own format, of whose columns only the id and
            the labels are needed.
        layout: How such a table is stored.
        roles: Its columns.

    Raises:
        UserError: The file is malformed.
    """
    if path.suffix.lower() == ".json":
        text = read_text(path, layout.encoding, _SETTING)
        if isinstance(parse_json(text, str(path)), dict):
            return label_sets_from_json(text, path)
    return read_labels(path, layout, roles, _SETTING)
