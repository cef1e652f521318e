"""No stage reads the truth file or a test label."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

STAGES = ("clean", "inspect", "split", "pretrain", "finetune", "distil", "stack", "submit")
GARBAGE = "This is no JSON: a stage that reads it in any way that the watch misses dies of it."


class FileWatch:
    """Notes the files that are opened from Python. An audit hook stays for good, so it is silent outside `noting`."""

    def __init__(self) -> None:
        self.opened: list[str] | None = None
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and self.opened is not None and isinstance(arguments[0], str | bytes):
            self.opened.append(Path(os.fsdecode(arguments[0])).name)

    @contextmanager
    def noting(self) -> Iterator[list[str]]:
        names: list[str] = []
        self.opened = names
        try:
            yield names
        finally:
            self.opened = None


@pytest.fixture(scope="module")
def watch() -> FileWatch:
    return FileWatch()


def test_no_stage_opens_the_truth_file(watch, new_run, sample_folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "contest"
    folder.mkdir()
    for file in sample_folder.iterdir():
        text = GARBAGE if file.name == "truth.json" else file.read_text(encoding="utf-8")
        (folder / file.name).write_text(text, encoding="utf-8")
    run = new_run(tmp_path, "smoke.yaml", f"contest.folder={folder}", "stack.trees=2")
    assert run.settings.contest.truth == "truth.json"
    with watch.noting() as opened:
        run.do(*STAGES)
    assert {"train.json", "test.json", "unlabelled.json", "settings.json"} <= set(opened)
    assert "truth.json" not in opened
    assert {path.name for path in (tmp_path / "runs" / "smoke").glob("s[1-9]_*")} == {
        path.stem for path in (Path(__file__).parents[2] / "src" / "polydx" / "stages").glob("s[1-9]_*.py")
    }
    assert (tmp_path / "submissions" / "smoke" / "submission.json").exists()


def open_low(path: Path) -> None:
    os.close(os.open(path, os.O_RDONLY))


@pytest.mark.parametrize("read", [Path.read_text, Path.read_bytes, pd.read_json, open_low])
def test_a_stage_that_read_it_would_be_seen(watch: FileWatch, tmp_path: Path, read: Callable[[Path], object]) -> None:
    truth = tmp_path / "truth.json"
    truth.write_text('{"1": ["a"]}', encoding="utf-8")
    with watch.noting() as opened:
        read(truth)
    assert "truth.json" in opened


def write_contest(folder: Path, test_labels: Sequence[Any]) -> None:
    """A contest whose test table carries labels, as public data sets have it."""
    folder.mkdir()
    train = [
        {"id": f"r{row}", "title": f"title {row}", "text": f"words of record {row}", "labels": ["ab"[row % 2]]}
        for row in range(8)
    ]
    test = [
        {"id": f"t{row}", "title": f"other {row}", "text": f"words of test record {row}", "labels": labels}
        for row, labels in enumerate(test_labels)
    ]
    for name, rows in (("train", train), ("test", test)):
        lines = [json.dumps(row) for row in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_test_labels_change_nothing_that_is_cleaned(new_run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cleaned = []
    for name, labels in {
        "true": [["a"], ["b"], ["a", "b"]],
        "shuffled": [["a", "b"], ["a"], ["b"]],
        "unofficial": [["c"], [], ["a"]],
        "malformed": [None, 7, "a|b"],
    }.items():
        folder = tmp_path / name
        write_contest(folder, labels)
        columns = "{id: id, sections: [title, text], age: null, sex: null, labels: labels}"
        run = new_run(
            folder,
            "ohsumed.yaml",
            f"contest.folder={folder}",
            "contest.train=[train.jsonl]",
            "contest.test=test.jsonl",
            "contest.truth=test.jsonl",
            "contest.labels=null",
            "contest.unlabelled=null",
            f"contest.columns={columns}",
        )
        run.do("clean")
        files = sorted(run.paths.records.parent.iterdir())
        assert len(files) == 3
        cleaned.append({file.name: file.read_bytes() for file in files})
    assert all(other == cleaned[0] for other in cleaned)
