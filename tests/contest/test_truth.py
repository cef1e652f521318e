"""Truth files, and that no stage can reach them."""

import ast
from pathlib import Path

import polydx
from polydx.contest.readers import ColumnRoles
from polydx.contest.tables import TableLayout
from polydx.contest.truth import read_truth

LAYOUT = TableLayout("auto", ",", "utf-8")
ROLES = ColumnRoles("id", ("text",), None, None, (), (), "labels", None)
ALLOWED = {"cli/after_stages.py", "score.py"}


def test_label_sets_and_tables_mean_the_same(tmp_path: Path) -> None:
    expected = {"1": ("a", "b"), "2": ()}
    (tmp_path / "truth.json").write_text('{"1": ["a", "b"], "2": []}', encoding="utf-8")
    (tmp_path / "table.json").write_text(
        '[{"id": "1", "labels": ["a", "b"]}, {"id": "2", "labels": []}]', encoding="utf-8"
    )
    (tmp_path / "test.jsonl").write_text(
        '{"id": "1", "text": "x", "labels": ["a", "b"]}\n{"id": "2", "text": "y", "labels": []}\n', encoding="utf-8"
    )
    for name in ("truth.json", "table.json", "test.jsonl"):
        assert read_truth(tmp_path / name, LAYOUT, ROLES) == expected


def test_nothing_but_scoring_imports_the_truth_reader() -> None:
    root = Path(polydx.__file__).parent
    visited, importers = 0, set()
    for source in root.rglob("*.py"):
        visited += 1
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.endswith(("contest.truth", "polydx.score")) for name in (*names, *modules)) or (
                "polydx.contest" in modules and "truth" in names
            ):
                importers.add(str(source.relative_to(root)))
    assert visited > 30
    assert importers <= ALLOWED
