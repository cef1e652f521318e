"""Prediction with a shipped student, against the library's own pipeline; streamed, and resumed after a kill."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import pipeline

from polydx.cli import main
from polydx.deploy import predict as prediction
from polydx.deploy.blocks import partial_files
from polydx.deploy.predict import Wanted, predict
from polydx.deploy.student_card import STUDENT_FILE, StudentCard, read_card, write_card
from polydx.deploy.student_model import ONNX_FILE, load_student
from polydx.errors import UserError
from polydx.model.encoders import load_tokenizer
from polydx.names import Give

RAW = [
    {"emr_id": "a1", "age": "Y48", "gender": "男", "complaint": "主诉：发热３天。", "history": "无"},
    {"emr_id": "a2", "age": "", "gender": "女性", "complaint": "咳嗽", "history": "关节疼痛"},
    {"emr_id": "a3", "age": "7", "gender": "", "complaint": "暂无发热", "history": ""},
]
CLEANED = ["男 48岁 主诉:发热3天。", "女 主诉:咳嗽 关节疼痛", "7岁 主诉:暂无发热"]
LABELS = Wanted("labels", explain=False, skip_bad=False)


def write_jsonl(target: Path, repeats: int = 1) -> Path:
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in RAW]
    target.write_text("".join(lines * repeats), encoding="utf-8")
    return target


def answers(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_labels_and_probabilities_are_those_of_the_librarys_pipeline(
    student_folder: Path, student_card: StudentCard, tmp_path: Path
) -> None:
    target = tmp_path / "answers.jsonl"
    predict(student_folder, write_jsonl(tmp_path / "new.jsonl"), target, dataclasses.replace(LABELS, give="both"))
    classify = pipeline("text-classification", model=str(student_folder), top_k=None, device="cpu")
    found = answers(target)
    assert [line["id"] for line in found] == ["a1", "a2", "a3"]
    for line, scores in zip(found, classify(CLEANED), strict=True):
        expected = {each["label"]: each["score"] for each in scores}
        assert line["probabilities"] == pytest.approx(expected, abs=2e-6)
        assert line["labels"] == [
            name
            for name, threshold in zip(student_card.labels, student_card.thresholds, strict=True)
            if expected[name] >= threshold
        ]


@pytest.mark.parametrize(
    ("give", "keys"),
    [("labels", {"labels"}), ("probabilities", {"probabilities"}), ("both", {"labels", "probabilities"})],
)
def test_what_is_asked_for_is_given(student_folder: Path, tmp_path: Path, give: Give, keys: set[str]) -> None:
    source = write_jsonl(tmp_path / "new.jsonl")
    predict(student_folder, source, tmp_path / "out.jsonl", dataclasses.replace(LABELS, give=give))
    assert all(set(line) == {"id"} | keys for line in answers(tmp_path / "out.jsonl"))


def test_formats_give_the_same_answers(
    student_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = list(RAW[0])
    csv = tmp_path / "new.csv"
    csv.write_text(
        "\n".join([",".join(columns), *(",".join(record[column] for column in columns) for record in RAW)]),
        encoding="utf-8",
    )
    whole = tmp_path / "new.json"
    whole.write_text(json.dumps(RAW), encoding="utf-8")
    found = set()
    for source in (csv, whole, write_jsonl(tmp_path / "new.jsonl")):
        predict(student_folder, source, tmp_path / "out.jsonl", LABELS)
        found.add((tmp_path / "out.jsonl").read_bytes())
    assert len(found) == 1
    assert capsys.readouterr().err.count("is read whole into memory") == 1


def test_the_card_survives_writing_and_reading(student_folder: Path, student_card: StudentCard) -> None:
    assert read_card(student_folder) == student_card


def test_a_folder_without_a_card_is_the_users_fault(student_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=STUDENT_FILE):
        predict(student_folder.parent / "encoder", write_jsonl(tmp_path / "new.jsonl"), tmp_path / "out.jsonl", LABELS)


def test_an_incomplete_card_is_the_users_fault(tmp_path: Path) -> None:
    (tmp_path / STUDENT_FILE).write_text('{"labels": ["a"]}', encoding="utf-8")
    with pytest.raises(UserError, match="isn't complete"):
        read_card(tmp_path)


@pytest.mark.parametrize("thresholds", [(0.5,), (0.5, 0.3, 0.2)])
def test_a_card_needs_a_threshold_a_label(
    student_card: StudentCard, tmp_path: Path, thresholds: tuple[float, ...]
) -> None:
    write_card(tmp_path, dataclasses.replace(student_card, thresholds=thresholds))
    with pytest.raises(UserError, match=rf"polydx\.json: has 2 labels and {len(thresholds)} thresholds; ship"):
        read_card(tmp_path)


def test_a_card_of_another_model_is_the_users_fault(
    student_folder: Path, student_card: StudentCard, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in student_folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    write_card(other, dataclasses.replace(student_card, labels=("痛风", "流感")))
    with pytest.raises(UserError, match="differ in labels"):
        predict(other, write_jsonl(tmp_path / "new.jsonl"), tmp_path / "out.jsonl", LABELS)


def spoilt(target: Path) -> Path:
    sound = write_jsonl(target).read_text(encoding="utf-8").splitlines()
    lines = [sound[0], "{broken", sound[1], '{"emr_id": null, "complaint": "x"}', sound[2]]
    target.write_text("\n".join(lines), encoding="utf-8")
    return target


def test_malformed_lines_are_all_named_with_status_2_before_any_work(
    student_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = spoilt(tmp_path / "new.jsonl"), tmp_path / "out" / "answers.jsonl"
    assert main(["predict", "--model", str(student_folder), "--input", str(source), "--output", str(target)]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert "2 of 5 records are malformed: line 2, column 2 (broken JSON" in error
    assert "line 4, field emr_id (the id is null)" in error
    assert error.endswith("leave them out with --skip-bad")
    assert not target.parent.exists()


def test_skip_bad_leaves_malformed_lines_out_and_counts_them(
    student_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = spoilt(tmp_path / "new.jsonl"), tmp_path / "answers.jsonl"
    call = ["predict", "--model", str(student_folder), "--input", str(source), "--output", str(target), "--skip-bad"]
    assert main(call) == 0
    assert [line["id"] for line in answers(target)] == ["a1", "a2", "a3"]
    assert "3 records in" in (said := capsys.readouterr().err)
    assert "2 malformed ones skipped: line 2, column 2" in said


def test_many_faults_are_counted_behind_the_first_few(student_folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "new.jsonl"
    source.write_text("{broken\n" * 25 + json.dumps(RAW[0]), encoding="utf-8")
    with pytest.raises(UserError, match=r"25 of 26 .* line 10, column 2 \(.*\) and 15 more; "):
        predict(student_folder, source, tmp_path / "out.jsonl", LABELS)


def test_a_missing_column_is_named_rather_than_every_record(student_folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "new.jsonl"
    source.write_text('{"id": "1", "complaint": "x"}\n' * 3, encoding="utf-8")
    with pytest.raises(UserError, match="has no column 'emr_id'"):
        predict(student_folder, source, tmp_path / "out.jsonl", LABELS)


def test_a_format_may_be_named(student_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = write_jsonl(tmp_path / "new.records"), tmp_path / "out.jsonl"
    arguments = ["predict", "--model", str(student_folder), "--input", str(source), "--output", str(target)]
    assert main(arguments) == 2
    assert "set contest.format, or --format of polydx predict" in capsys.readouterr().err
    assert main([*arguments, "--format", "jsonl"]) == 0
    assert len(answers(target)) == 3


def test_where_nothing_can_be_written_is_said_before_any_work(student_folder: Path, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "new.jsonl")
    records = source.read_bytes()
    (tmp_path / "folder").mkdir()
    targets = {
        tmp_path / "folder": "is a folder",
        source / "deeper" / "out.jsonl": "is a file, and --output lies in it",
        source: "holds the records themselves",
        student_folder / "out.jsonl": "lies in the student's folder",
        tmp_path / ("long" * 100): r"can't be written \(File name too long\)",
    }
    for target, problem in targets.items():
        with pytest.raises(UserError, match=f"{problem}; name another --output"):
            predict(student_folder, source, target, LABELS)
    assert source.read_bytes() == records
    assert {path.name for path in tmp_path.iterdir()} == {"new.jsonl", "folder"}


def test_what_is_no_regular_file_is_not_replaced(student_folder: Path, tmp_path: Path) -> None:
    source, pipe, link = write_jsonl(tmp_path / "new.jsonl"), tmp_path / "pipe", tmp_path / "null"
    os.mkfifo(pipe)
    link.symlink_to(os.devnull)
    for target in (pipe, link):
        with pytest.raises(UserError, match="is no regular file; name another --output"):
            predict(student_folder, source, target, LABELS)
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {"new.jsonl", "pipe", "null"}


@pytest.mark.parametrize("name", [".out.jsonl.part", ".out.jsonl.state"])
@pytest.mark.parametrize("linked", [False, True])
def test_records_in_an_unfinished_outputs_place_stay(
    student_folder: Path, tmp_path: Path, name: str, linked: bool
) -> None:
    records = write_jsonl(tmp_path / name).read_bytes()
    source = tmp_path / name
    if linked:
        source = tmp_path / "new.jsonl"
        source.symlink_to(name)
    problem = r"holds the records themselves, and out\.jsonl goes there until it is whole; name another --output"
    with pytest.raises(UserError, match=problem):
        predict(student_folder, source, tmp_path / "out.jsonl", dataclasses.replace(LABELS, format="jsonl"))
    assert (tmp_path / name).read_bytes() == records
    assert not (tmp_path / "out.jsonl").exists()


def test_a_name_too_long_for_the_unfinished_output_is_refused_before_any_work(
    student_folder: Path, tmp_path: Path
) -> None:
    source = write_jsonl(tmp_path / "new.jsonl")
    for length in (255, 249, 246):
        with pytest.raises(UserError, match=r"can't be written \(File name too long\); name another --output"):
            predict(student_folder, source, tmp_path / ("x" * length), LABELS)
        assert [path.name for path in tmp_path.iterdir()] == ["new.jsonl"]


def add(text: str) -> Callable[[Path], None]:
    def change(source: Path) -> None:
        with source.open("a", encoding="utf-8") as file:
            file.write(text)

    return change


def one_less(source: Path) -> None:
    write_jsonl(source, repeats=1)


SOUND, BROKEN = json.dumps(RAW[0]) + "\n", "{broken\n"
CHANGED = "changed while it was read: 6 records at first, then"


@pytest.mark.parametrize(
    ("change", "skip_bad", "problem"),
    [
        (add(SOUND), False, f"{CHANGED} 7; run again"),
        (one_less, False, f"{CHANGED} 3; run again"),
        (one_less, True, f"{CHANGED} 3; run again"),
        (add(BROKEN), False, r"line 7, column 2: broken JSON"),
        (add(BROKEN), True, None),
    ],
    ids=["grown", "shrunk", "shrunk, faults skipped", "a fault", "a fault skipped"],
)
def test_records_that_change_between_the_readings_are_told(
    student_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    skip_bad: bool,
    problem: str | None,
) -> None:
    source, target = write_jsonl(tmp_path / "new.jsonl", repeats=2), tmp_path / "answers.jsonl"
    load = prediction.load_student

    def meanwhile(*arguments):  # type: ignore[no-untyped-def]
        change(source)
        return load(*arguments)

    wanted = dataclasses.replace(LABELS, skip_bad=skip_bad)
    with monkeypatch.context() as patch:
        patch.setattr(prediction, "load_student", meanwhile)
        if problem is None:
            predict(student_folder, source, target, wanted)
        else:
            with pytest.raises(UserError, match=problem):
                predict(student_folder, source, target, wanted)
            assert not target.exists()
    if BROKEN not in source.read_text(encoding="utf-8"):
        predict(student_folder, source, target, wanted)
        assert len(answers(target)) == len(source.read_text(encoding="utf-8").splitlines())


def test_records_that_shrink_while_a_job_is_resumed_are_told(
    student_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records that an earlier job wrote count too."""
    monkeypatch.setattr(prediction, "CHUNK", 4)
    source, target = write_jsonl(tmp_path / "new.jsonl", repeats=2), tmp_path / "answers.jsonl"
    answer = prediction.answer_lines

    def dying(*arguments):  # type: ignore[no-untyped-def]
        if len(arguments[1]) < 4:
            raise Killed
        return answer(*arguments)

    monkeypatch.setattr(prediction, "answer_lines", dying)
    with pytest.raises(Killed):
        predict(student_folder, source, target, LABELS)
    name = prediction.identity

    def then_shrink(*arguments):  # type: ignore[no-untyped-def]
        found = name(*arguments)
        write_jsonl(source)
        return found

    monkeypatch.setattr(prediction, "identity", then_shrink)
    with pytest.raises(UserError, match=f"{CHANGED} 4; run again"):
        predict(student_folder, source, target, LABELS)
    assert not target.exists()


@pytest.mark.parametrize("library", ["tokenizers", "onnxruntime", "jieba"])
def test_answers_are_of_the_versions_of_what_made_them(
    student_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    source, onnx = write_jsonl(tmp_path / "new.jsonl"), shutil.copytree(student_folder, tmp_path / "onnx")
    (onnx / ONNX_FILE).touch()
    asked = {
        "plain": (student_folder, source, LABELS, torch.device("cpu")),
        "explained": (student_folder, source, dataclasses.replace(LABELS, explain=True), torch.device("cpu")),
        "onnx": (onnx, source, LABELS, torch.device("cpu")),
    }
    before = {name: prediction.identity(*arguments) for name, arguments in asked.items()}
    meta = tmp_path / "site" / f"{library}-0.0.1.dist-info"
    meta.mkdir(parents=True)
    (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {library}\nVersion: 0.0.1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path / "site")
    changed = {name for name, arguments in asked.items() if prediction.identity(*arguments) != before[name]}
    assert changed == {"tokenizers": set(asked), "onnxruntime": {"onnx"}, "jieba": {"explained"}}[library]


def test_a_pipe_is_refused_unread(student_folder: Path, tmp_path: Path) -> None:
    records = write_jsonl(tmp_path / "new.jsonl").read_bytes()
    reading, writing = os.pipe()
    os.write(writing, records)
    os.close(writing)
    for wanted in (LABELS, dataclasses.replace(LABELS, format="jsonl")):
        with pytest.raises(UserError, match="is no regular file, and records are read twice; save them in a file"):
            predict(student_folder, Path(f"/dev/fd/{reading}"), tmp_path / "out.jsonl", wanted)
    assert os.read(reading, len(records)) == records
    os.close(reading)
    assert {path.name for path in tmp_path.iterdir()} == {"new.jsonl"}


def test_weights_cut_short_are_the_users_fault(student_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "student"
    shutil.copytree(student_folder, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(UserError, match=r"holds no readable model \(SafetensorError\); ship the student again"):
        load_student(broken)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("blocks", [1, 2])
def test_a_job_that_died_goes_on_to_the_same_bytes(
    student_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    monkeypatch.setattr(prediction, "CHUNK", 4)
    source, wanted = write_jsonl(tmp_path / "new.jsonl", repeats=4), Wanted("both", explain=False, skip_bad=False)
    predict(student_folder, source, tmp_path / "undisturbed.jsonl", wanted)
    predicted: list[int] = []
    answer = prediction.answer_lines

    def dying(*arguments):  # type: ignore[no-untyped-def]
        if len(predicted) == blocks:
            raise Killed
        predicted.append(len(arguments[1]))
        return answer(*arguments)

    monkeypatch.setattr(prediction, "answer_lines", dying)
    target = tmp_path / "answers.jsonl"
    with pytest.raises(Killed):
        predict(student_folder, source, target, wanted)
    assert not target.exists()
    with partial_files(target)[0].open("ab") as part:
        part.write(b'{"id": "half a li')
    predicted = [0] * (blocks + 1)
    predict(student_folder, source, target, wanted)
    assert sum(predicted) == 12 - 4 * blocks, "whole blocks aren't predicted again"
    assert target.read_bytes() == (tmp_path / "undisturbed.jsonl").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"new.jsonl", "undisturbed.jsonl", "answers.jsonl"}


def test_other_input_or_options_start_again(
    student_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prediction, "CHUNK", 2)
    source, target = write_jsonl(tmp_path / "new.jsonl", repeats=2), tmp_path / "answers.jsonl"
    part, state = partial_files(target)
    for change in (lambda: write_jsonl(source, repeats=1), lambda: None):
        part.write_text("of another job\n", encoding="utf-8")
        state.write_text(json.dumps({"identity": "other", "bytes": 15, "records": 2}), encoding="utf-8")
        change()
        predict(student_folder, source, target, LABELS)
        assert [line["id"] for line in answers(target)] == ["a1", "a2", "a3"]
        assert "starting again" in capsys.readouterr().err


def test_killed_by_the_system_and_started_again(student_folder: Path, tmp_path: Path) -> None:
    """SIGKILL from outside, once the first block stands; `benchmarks/predict_stream.py` does it at 50,000 records."""
    source, target = write_jsonl(tmp_path / "new.jsonl", repeats=1500), tmp_path / "answers.jsonl"
    call = ["predict", "--model", str(student_folder), "--input", str(source), "--output", str(target)]
    program = "import sys; from polydx.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen([sys.executable, "-c", program, *call], stderr=subprocess.DEVNULL)
    _, state = partial_files(target)
    while not state.exists() or not json.loads(state.read_text(encoding="utf-8"))["records"]:
        assert process.poll() is None, "it ended before the first block"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not target.exists()
    assert main(call) == 0
    assert main([*call[:-1], str(tmp_path / "undisturbed.jsonl")]) == 0
    assert target.read_bytes() == (tmp_path / "undisturbed.jsonl").read_bytes()
    assert len(answers(target)) == 4500


def call(folder: Path, work: Path, *options: str) -> list[str]:
    source = write_jsonl(work / "new.jsonl")
    return ["predict", "--model", str(folder), "--input", str(source), "--output", str(work / "out.jsonl"), *options]


def test_no_speed_at_all_gives_what_plain_prediction_gives(leaving_folder: Path, tmp_path: Path) -> None:
    found = []
    for options in ((), ("--speed", "0"), ("--speed", "0.8")):
        assert main(call(leaving_folder, tmp_path, "--give", "both", *options)) == 0
        found.append((tmp_path / "out.jsonl").read_bytes())
    assert found[0] == found[1] != found[2]


def test_a_speed_that_no_setting_reaches_is_said(
    leaving_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for speed, said in (("0.1", False), ("0.8", True)):
        assert main(call(leaving_folder, tmp_path, "--speed", speed)) == 0
        assert ("note: similarity saved" in capsys.readouterr().err) == said


def test_a_faster_speed_does_less_work(leaving_folder: Path) -> None:
    batch = load_tokenizer(leaving_folder)(CLEANED, return_tensors="pt", padding=True)
    layers = []
    for speed in (None, 0.0, 0.1, 0.8):
        student = load_student(leaving_folder, speed)
        seen: list[int] = []
        for layer in student.stock_model().bert.encoder.layer:
            layer.output.register_forward_hook(lambda _layer, inputs, _output, seen=seen: seen.append(len(inputs[0])))
        with torch.inference_mode():
            student.score(batch["input_ids"], batch["attention_mask"])
        layers.append(seen)
    assert layers[0] == layers[1] == [3, 3, 3]
    assert sum(layers[3]) <= sum(layers[2]) < 9
    assert layers[3] == [3, 3], "similarity compares two exits, so nothing leaves before the second"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--speed", "0.55"), "speed: is 0.55; choose one of 0, 0.1, 0.2,"),
        (("--speed", "1.5"), "speed: is 1.5; choose one of 0, 0.1, 0.2,"),
        (("--speed", "-0.1"), "speed: is -0.1; choose one of 0, 0.1, 0.2,"),
        (("--speed", "nan"), "speed: is nan; choose one of 0, 0.1, 0.2,"),
        (("--exit-rule", "entropy"), "--exit-rule: says how records leave early, and without --speed none does;"),
        (("--speed", "0.5", "--explain"), "--explain: tells of the last layer, which --speed leaves out;"),
    ],
)
def test_a_speed_out_of_range_is_the_users_fault(
    leaving_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], expected: str
) -> None:
    assert main(call(leaving_folder, tmp_path, *options)) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()


def test_a_speed_of_a_student_without_exits_is_the_users_fault(
    student_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(call(student_folder, tmp_path, "--speed", "0.5")) == 2
    assert "is a student without early exits; train it with distil.exits" in capsys.readouterr().err
