"""The README's script uses a student's folder where only torch, transformers and what they require are installed."""

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

from polydx.artifacts import read_json, write_json
from polydx.deploy.package import pinned
from polydx.deploy.predict import Wanted, predict

README = Path(__file__).parents[2] / "README.md"
RAW = [
    {"emr_id": "a1", "age": "Y48", "gender": "男", "complaint": "主诉：发热３天。", "history": "无"},
    {"emr_id": "a2", "age": "", "gender": "女性", "complaint": "咳嗽", "history": "关节疼痛"},
]
CLEANED = ["男 48岁 主诉:发热3天。", "女 主诉:咳嗽 关节疼痛"]


def only(names: set[str], folder: Path) -> Path:
    """A folder of links to the files of some distributions, as a fresh environment holds them."""
    folder.mkdir()
    for name in names:
        installed = distribution(name)
        tops = {file.parts[0] for file in installed.files or ()} - {"..", "__pycache__"}
        for top in tops:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(installed.locate_file(top))))
    return folder


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"thresholds": [0.99, 0.98], "min_labels": 1},
        {"thresholds": [0.01, 0.02], "max_labels": 1},
    ],
    ids=["thresholds", "fewest", "most"],
)
def test_the_readmes_script_runs_in_a_fresh_environment(
    student_folder: Path, rule: dict[str, object], tmp_path: Path
) -> None:
    student = shutil.copytree(student_folder, tmp_path / "student")
    write_json(student / "polydx.json", read_json(student / "polydx.json") | rule)
    (script,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    site = only(set(pinned(("torch", "transformers"))), tmp_path / "site")
    assert not (site / "polydx").exists()
    program = f"""
import runpy, sys
sys.path.append({str(site)!r})
try:
    import polydx
except ModuleNotFoundError:
    runpy.run_path({str(tmp_path / "script.py")!r}, run_name="__main__")
"""
    # Isolated and without the environment's own packages: nothing but the standard library and the folder above.
    command = [sys.executable, "-I", "-S", "-c", program, str(student), *CLEANED]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr

    source = tmp_path / "new.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in RAW), encoding="utf-8")
    predict(student, source, tmp_path / "out.jsonl", Wanted("labels", explain=False, skip_bad=False))
    expected = [json.loads(line)["labels"] for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert [sorted(json.loads(line)) for line in done.stdout.splitlines()] == [sorted(labels) for labels in expected]
    if rule:
        assert {len(labels) for labels in expected} == {1}


def test_what_goes_with_the_weights_travels_in_the_folder(student_folder: Path) -> None:
    assert {"config.json", "model.safetensors", "tokenizer.json", "polydx.json"} <= {
        file.name for file in student_folder.iterdir()
    }
    card = json.loads((student_folder / "polydx.json").read_text(encoding="utf-8"))
    assert {
        "labels",
        "thresholds",
        "min_labels",
        "max_labels",
        "max_tokens",
        "columns",
        "headings",
        "placeholders",
    } <= set(card)
