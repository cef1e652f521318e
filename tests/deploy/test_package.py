"""The serving folder answers over HTTP, on its own code, what `polydx predict` writes."""

import ast
import http.client
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from polydx.deploy.package import NEEDED, copy_modules, package, pinned
from polydx.deploy.predict import Wanted, predict
from polydx.errors import UserError

SERVER = Path(__file__).parent / "serving_platform" / "server.py"
BOUNDARY = "fringe"
RAW = [
    {"emr_id": "a1", "age": "Y48", "gender": "男", "complaint": "主诉：发热３天。", "history": "无"},
    {"emr_id": "a2", "age": "", "gender": "女性", "complaint": "咳嗽", "history": "关节疼痛", "diagnosis": ["流感"]},
    {"emr_id": 3, "age": 7, "gender": None, "complaint": "暂无发热"},
]


@pytest.fixture(scope="module")
def served(student_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """The package's folder and the port that it is served at."""
    folder = tmp_path_factory.mktemp("package") / "upload"
    package(student_folder, folder)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(SERVER), str(folder)]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield folder, int(process.stdout.readline())
        process.kill()


def post(port: int, content: bytes, field: str = "json_line") -> tuple[int, dict[str, list[str]]]:
    disposition = f'Content-Disposition: form-data; name="{field}"; filename="record.json"'
    body = f"--{BOUNDARY}\r\n{disposition}\r\n\r\n".encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/", body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def test_the_folder_is_the_platforms(served: tuple[Path, int], student_folder: Path) -> None:
    folder, _ = served
    assert {path.name for path in folder.iterdir()} == {"model"}
    model = folder / "model"
    names = {"config.json", "customize_service.py", "polydx", "student", "weights.pth"}
    assert {path.name for path in model.iterdir() if path.name != "__pycache__"} == names
    for file in student_folder.iterdir():
        assert (model / "student" / file.name).read_bytes() == file.read_bytes()
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    assert (config["model_type"], config["runtime"][:6]) == ("PyTorch", "python")
    assert len(config["model_algorithm"]) <= 36
    (api,) = config["apis"]
    assert (api["url"], api["method"]) == ("/", "post")
    assert api["request"]["data"]["properties"] == {"json_line": {"type": "file"}}
    (dependencies,) = config["dependencies"]
    packages = {each["package_name"]: each["package_version"] for each in dependencies["packages"]}
    assert packages["transformers"] == version("transformers")
    assert packages["torch"] == version("torch").partition("+")[0]
    assert {each["restraint"] for each in dependencies["packages"]} == {"EXACT"}


def test_answers_are_those_of_predict(served: tuple[Path, int], student_folder: Path, tmp_path: Path) -> None:
    _, port = served
    source = tmp_path / "new.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in RAW), encoding="utf-8")
    predict(student_folder, source, tmp_path / "out.jsonl", Wanted("labels", explain=False, skip_bad=False))
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    for record, line in zip(RAW, lines, strict=True):
        for content in (json.dumps(record), json.dumps(record, ensure_ascii=False, indent=1) + "\n"):
            assert post(port, content.encode("utf-8")) == (200, {line["id"]: line["labels"]})


@pytest.mark.parametrize(
    ("content", "field", "expected"),
    [
        (b"{broken", "json_line", "broken JSON"),
        (b"[]", "json_line", "holds a list"),
        (b"\xff", "json_line", "isn't UTF-8"),
        (b'{"emr_id": "x"}', "json_line", "no text at all"),
        (b'{"emr_id": "x", "complaint": "x"}', "file", "0 files were uploaded"),
    ],
)
def test_a_malformed_upload_is_refused_and_the_next_one_answered(
    served: tuple[Path, int], content: bytes, field: str, expected: str
) -> None:
    _, port = served
    status, answer = post(port, content, field)
    assert status == 500
    assert expected in answer["error"]
    assert post(port, json.dumps(RAW[0]).encode())[0] == 200


def test_every_module_is_the_packages_own(served: tuple[Path, int]) -> None:
    folder, port = served
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/")
    modules = json.loads(connection.getresponse().read())
    assert len(modules) > 10
    assert all(Path(file).is_relative_to(folder.resolve()) for file in modules.values())


def test_copied_modules_import_nothing_that_is_not_pinned(tmp_path: Path) -> None:
    """Imports inside functions are for other formats and languages than an upload's."""
    copy_modules(tmp_path)
    allowed = {name.replace("-", "_") for name in pinned(NEEDED)} | set(sys.stdlib_module_names) | {"polydx"}
    visited = 0
    for file in (tmp_path / "polydx").rglob("*.py"):
        visited += 1
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert {str(name).split(".")[0] for name in names} <= allowed, file.name
    assert 15 < visited < 50
    assert not (tmp_path / "polydx" / "train").exists(), "training isn't needed to answer"


def test_pins_reach_what_is_required_indirectly() -> None:
    found = pinned(("transformers",))
    assert {"transformers", "tokenizers", "huggingface-hub", "numpy", "filelock"} <= set(found)
    assert found["tokenizers"] == version("tokenizers")
    with pytest.raises(UserError, match="no-such-thing: isn't installed"):
        pinned(("no-such-thing",))


def test_other_folders_are_left_alone(student_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x", encoding="utf-8")
    with pytest.raises(UserError, match="is no serving folder"):
        package(student_folder, tmp_path)
    with pytest.raises(UserError, match=r"polydx\.json: is absent"):
        package(student_folder.parent / "encoder", tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
    for _ in range(2):
        package(student_folder, tmp_path / "new")
    assert (tmp_path / "new" / "model" / "customize_service.py").is_file()


def test_where_nothing_can_be_written_is_the_users_fault(student_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    targets = {
        tmp_path / "file" / "new": "is a file, and --output lies in it",
        tmp_path / "link" / "new": r"can't be written \(File exists\)",
        tmp_path / ("long" * 100): r"can't be written \(File name too long\)",
        Path("/proc/none"): "can't be written",
        student_folder / "new": "lies in the student's folder",
        student_folder: "exists and is no serving folder",
    }
    before = sorted(student_folder.iterdir())
    for target, problem in targets.items():
        with pytest.raises(UserError, match=f"{problem}.*; name "):
            package(student_folder, target)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "link"}
    assert sorted(student_folder.iterdir()) == before


def test_the_engines_hidden_files_stay_behind(student_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(student_folder, tmp_path / "student")
    (tmp_path / "student" / ".snakemake_timestamp").touch()
    package(tmp_path / "student", tmp_path / "new")
    assert {path.name for path in (tmp_path / "new" / "model" / "student").iterdir()} == {
        path.name for path in student_folder.iterdir()
    }
