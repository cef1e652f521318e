import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from polydx.contest.records import TEXT, read_records
from polydx.paths import RunPaths

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
STAGES = 9
TELLING_CHARACTERS = 20


def test_every_stage_has_one_notebook() -> None:
    stages = sorted((FOLDER.parent / "src" / "polydx" / "stages").glob("s[0-9]_*.py"))
    assert len(NOTEBOOKS) == len(stages) == STAGES
    assert [notebook.stem for notebook in NOTEBOOKS] == [stage.stem for stage in stages]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_notebook_runs_on_the_smoke_run_and_shows_no_text(
    notebook: Path, smoke_run: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYDX_RUN", smoke_run.name)
    content = nbformat.read(notebook, as_version=4)
    assert not any(cell.get("outputs") for cell in content.cells)

    NotebookClient(content, timeout=120, resources={"metadata": {"path": str(FOLDER)}}).execute()

    outputs = [cell["outputs"] for cell in content.cells if cell.cell_type == "code" and cell["outputs"]]
    assert len(outputs) >= 2
    shown = json.dumps(outputs, ensure_ascii=False)
    texts = read_records(smoke_run.records, smoke_run.labels).table[TEXT]
    assert len(texts) > 0
    assert not [row for row, text in enumerate(texts) if text[-TELLING_CHARACTERS:] in shown]
