import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from polydx.cli import app, main
from polydx.paths import RunPaths

SMOKE = Path(__file__).parents[1] / "configs" / "smoke.yaml"
TRUTH = {"1": ["a"], "2": ["a", "b"], "3": ["b"]}
SUBMISSION = {"1": ["a"], "2": ["a"], "3": ["b"]}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands write below the folder they are started in."""
    monkeypatch.chdir(tmp_path)


def write(name: str, value: object) -> Path:
    path = Path(name)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


FAULTS = {
    "unknown_command": (["finetoon"], "No such command 'finetoon'"),
    "missing_argument": (["check"], "Missing argument 'config'"),
    "missing_option": (["clean"], "Missing option '--config'"),
    "unknown_option": (["sample", "out", "--trian", "3"], "No such option: --trian"),
    "no_number": (["sample", "out", "--train", "many"], "Invalid value for '--train'"),
    "number_out_of_range": (["sample", "out", "--unlabelled", "0"], "Invalid value for '--unlabelled'"),
    "negative_fold": (["finetune", "--config", str(SMOKE), "--member", "linear", "--fold", "-1"], "'--fold'"),
    "unknown_member": (
        ["finetune", "--config", str(SMOKE), "--member", "forest", "--fold", "0"],
        "--member: 'forest' is not in the configuration; choose one of bert_fgm, ernie_pgd, linear",
    ),
    "unknown_encoder": (
        ["pretrain", "--config", str(SMOKE), "--encoder", "big"],
        "--encoder: 'big' is not in the configuration; choose one of small_bert, small_ernie",
    ),
    "unknown_fold": (["distil", "--config", str(SMOKE), "--fold", "some"], "--fold: is 'some'; give a number or all"),
    "fold_out_of_range": (
        ["distil", "--config", str(SMOKE), "--fold", "99"],
        "--fold: is 99; stay below the 2 fold jobs",
    ),
    "pseudo_fold_out_of_range": (
        ["pseudo", "--config", str(SMOKE), "--fold", "2"],
        "--fold: is 2; stay below the 2 fold",
    ),
    "absent_member_fold": (
        ["finetune", "--config", str(SMOKE), "--member", "linear", "--fold", "2"],
        "--fold: is 2; stay below the 2 fold jobs",
    ),
    **{
        f"{command[0]}_too_early": ([*command[:1], "--config", str(SMOKE), *command[1:]], expected)
        for command, expected in {
            ("inspect",): "runs/smoke/s1_clean/records.parquet: is not there yet; run polydx clean first",
            ("split",): "records.parquet: is not there yet; run polydx clean first",
            ("pretrain", "--encoder", "small_bert"): "records.parquet: is not there yet; run polydx clean first",
            ("finetune", "--member", "linear", "--fold", "0"): "records.parquet: is not there yet; run polydx clean",
            ("pseudo", "--fold", "0"): "records.parquet: is not there yet; run polydx clean first",
            ("distil", "--fold", "all"): "records.parquet: is not there yet; run polydx clean first",
            ("stack",): "records.parquet: is not there yet; run polydx clean first, or bash run.sh for everything",
            ("submit",): "runs/smoke/s8_stack/ledger.json: is not there yet; run polydx stack first",
            ("score-run",): "runs/smoke/s9_submit/scores.json: is not there yet; run polydx submit first",
        }.items()
    },
    "student_not_wanted": (
        ["distil", "--config", str(SMOKE), "--fold", "all", "distil.enabled=false"],
        "distil.enabled: is false; set it to true, or skip this stage",
    ),
    "engine_option_without_its_mark": (["run", "--dry-run"], "--dry-run: is no configuration file and no key=value"),
    "one_table_without_a_list": (
        ["check", str(SMOKE), "contest.train=train.json"],
        'contest.train: is "train.json"; write a list: [train.json]',
    ),
    "no_configuration": (["check", "absent.yaml"], "absent.yaml: no such configuration file"),
    "bad_setting": (["check", str(SMOKE), "split.folds=1"], "argument 'split.folds=1': split.folds: is 1"),
    "no_submission": (["score", "absent.json", "truth.json"], "absent.json: there is no such file"),
    "nothing_joins_labels": (["score", "a.csv", "b.csv", "--delimiter", ""], "--delimiter: is empty"),
    "own_folder": (["sample", "."], ".: holds the folder you work in; name a new folder"),
    "occupied_folder": (["sample", str(SMOKE.parent)], "exists and is no sample contest"),
}


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_fault_is_one_line_and_status_2(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, expected = FAULTS[name]
    write("truth.json", TRUTH)
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert output.err.count("\n") == 1
    assert expected in output.err
    assert "; " in output.err
    assert [path.name for path in Path().iterdir()] == ["truth.json"]


@pytest.fixture
def ctrl_c_is_heard() -> Iterator[None]:
    """A shell's background job ignores it, and so do the tests where they run in one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_is_heard")
def test_ctrl_c_is_one_line_and_status_130(capsys: pytest.CaptureFixture[str]) -> None:
    truth, pipe = write("truth.json", TRUTH), Path("submission.json")
    os.mkfifo(pipe)
    command = threading.get_ident()

    def interrupt() -> None:
        with pipe.open("wb"):  # waits until the command reads
            signal.pthread_kill(command, signal.SIGINT)

    writer = threading.Thread(target=interrupt, daemon=True)
    writer.start()
    status = main(["score", str(pipe), str(truth)])
    writer.join(timeout=10)
    assert status == 130
    assert capsys.readouterr() == ("", "interrupted; run it again to go on\n")


def test_a_commands_own_status_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "registered_commands", list(app.registered_commands))
    for name, status in {"three": 3, "none": None}.items():
        app.command(name)(lambda status=status: status)
    assert (main(["three"]), main(["none"])) == (3, 0)


def test_a_configuration_away_from_base_is_told_where_to_lie(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.yaml").write_text("run: {name: mine}\n", encoding="utf-8")
    assert main(["check", "mine.yaml"]) == 2
    expected = "base.yaml: no such configuration file; a configuration lies beside it: put yours into configs/"
    assert expected in capsys.readouterr().err


def test_help_is_no_fault_but_no_command_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    helped = capsys.readouterr()
    assert "finetune" in helped.out
    assert main(["run", "--help"]) == 0
    assert "Snakemake" in capsys.readouterr().out
    assert main([]) == 2
    bare = capsys.readouterr()
    assert "finetune" in bare.out + bare.err
    assert "error" not in bare.out + bare.err


def test_a_bug_gets_its_traceback() -> None:
    card = Path("runs/smoke/s9_submit/scores.json")
    card.parent.mkdir(parents=True)
    card.write_text("{}", encoding="utf-8")
    with pytest.raises(KeyError):
        main(["score-run", "--config", str(SMOKE), "contest.truth=null"])


def test_what_was_stacked_with_other_settings_is_not_submitted(capsys: pytest.CaptureFixture[str]) -> None:
    ledger = Path("runs/smoke/s8_stack/ledger.json")
    ledger.parent.mkdir(parents=True)
    names = [f"{member}.round{number}" for member in ("bert_fgm", "ernie_pgd", "linear") for number in (0, 1)]
    whole = {"members": dict.fromkeys(names), "fusion": dict.fromkeys(("mean", "weighted", "lightgbm")), "student": {}}
    problem = "ledger.json: was made with other members, rounds"
    for change in ({"members": {}}, {"fusion": {"mean": None}}, {"student": None}):
        write(str(ledger), whole | change)
        assert main(["submit", "--config", str(SMOKE)]) == 2
        assert problem in capsys.readouterr().err
    write(str(ledger), whole)
    assert main(["submit", "--config", str(SMOKE)]) == 2
    assert "is not there yet; run polydx distil --fold all first" in capsys.readouterr().err


def test_a_student_needs_what_its_teachers_say_of_their_own_training_rows(capsys: pytest.CaptureFixture[str]) -> None:
    paths = RunPaths("smoke")
    for made in (paths.records, paths.folds, paths.encoder("small_bert") / "made"):
        made.parent.mkdir(parents=True, exist_ok=True)
        made.touch()
    for member in ("bert_fgm", "ernie_pgd", "linear"):
        report = paths.fold_model(member, 1, 0).report
        report.parent.mkdir(parents=True)
        report.touch()
    assert main(["distil", "--config", str(SMOKE), "--fold", "0"]) == 2
    expected = "training.npy: is not there yet; run polydx finetune --member bert_fgm --fold 0 --round 1 first"
    assert expected in capsys.readouterr().err


def test_score_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(write("submission.json", SUBMISSION)), str(write("truth.json", TRUTH))]
    assert main(["score", *files]) == 0
    expected = {
        "macro_f1": (1 + 2 / 3) / 2,
        "macro_f1_present": (1 + 2 / 3) / 2,
        "micro_f1": 6 / 7,
        "samples_f1": (1 + 1 + 2 / 3) / 3,
        "macro_precision": 1.0,
        "macro_recall": (1 + 1 / 2) / 2,
        "macro_f2": (1 + 5 / 9) / 2,
    }
    found = json.loads(capsys.readouterr().out)
    assert found == {name: pytest.approx(value) for name, value in expected.items()} | {"records": 3, "labels": 2}

    Path("labels.txt").write_text("a\nb\nc\n", encoding="utf-8")
    assert main(["score", *files, "--labels", "labels.txt", "--per-label"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["macro_f1"] == pytest.approx((1 + 2 / 3) / 3)
    assert found["macro_f1_present"] == pytest.approx((1 + 2 / 3) / 2)
    assert [row["label"] for row in found["per_label"]] == ["a", "b", "c"]


@pytest.fixture
def sample() -> Path:
    sizes = ["--train", "30", "--test", "6", "--unlabelled", "4", "--seed", "3"]
    assert main(["sample", "contest", *sizes]) == 0
    return Path("contest")


def test_sample_writes_the_contest_and_says_so(capsys: pytest.CaptureFixture[str], sample: Path) -> None:
    assert capsys.readouterr().err == "sample: 30 training, 6 test, 4 unlabelled records in contest\n"
    files = {"train.json", "test.json", "unlabelled.json", "labels.txt", "truth.json"}
    assert {path.name for path in sample.iterdir()} == files
    sizes = [len(json.loads((sample / f"{name}.json").read_text(encoding="utf-8"))) for name in ("train", "truth")]
    assert sizes == [30, 6]


def test_check_notes_what_a_run_would_lose(capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["id,text,age,labels", "a,cough,seventy,flu;cold", "b,fever,7,flu", "c,fever,old,flu"]
    Path("train.csv").write_text("\n".join(rows), encoding="utf-8")
    Path("test.csv").write_text("id,text,age\nd,cough,\n", encoding="utf-8")
    columns = ["id=id", "sections=[text]", "age=age", "sex=null", "labels=labels", "label_delimiter=;"]
    contest = ["sample=null", "folder=.", "train=[train.csv]", "test=test.csv", "truth=null", "labels=null"]
    unnamed = ["aliases=null", "unlabelled=null", "language=en", "columns.order=null"]
    overrides = [f"contest.{each}" for each in (*contest, *unnamed, *(f"columns.{column}" for column in columns))]
    assert main(["check", str(SMOKE), *overrides, "stack.max_labels=1"]) == 0
    printed = capsys.readouterr()
    lost = {"records": 2, "first": "train.csv, line 2: 'seventy'"}
    assert json.loads(printed.out)["contest"]["not_understood"] == {"age": lost}
    first, second = printed.err.splitlines()
    assert first.startswith("note: 2 records have no age") and first.endswith("the first: train.csv, line 2: 'seventy'")
    assert second.startswith("note: a training record has 2 labels, an answer at most 1")


def test_check_before_the_sample_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(SMOKE)]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["run"] == "smoke"
    assert summary["jobs"]["finetune"] == 12
    assert summary["contest"] == "would be generated in data/smoke"
    assert list(Path().iterdir()) == []


def test_check_reads_the_contest_and_misses_an_absent_truth_file(
    capsys: pytest.CaptureFixture[str], sample: Path
) -> None:
    arguments = ["check", str(SMOKE), f"contest.folder={sample}"]
    assert main(arguments) == 0
    contest = json.loads(capsys.readouterr().out)["contest"]
    assert {name: contest[name] for name in ("train", "test", "unlabelled", "labels")} == {
        "train": 30,
        "test": 6,
        "unlabelled": 4,
        "labels": 52,
    }
    (sample / "truth.json").unlink()
    assert main(arguments) == 2
    fix = "put it there, or set contest.truth=null"
    assert capsys.readouterr().err == f"error: contest/truth.json: there is no such file; {fix}\n"
    assert main([*arguments, "contest.truth=null"]) == 0


def test_help_and_faults_in_arguments_wait_for_no_library() -> None:
    heavy = "{'torch', 'transformers', 'sklearn', 'scipy', 'lightgbm', 'joblib', 'pandas', 'matplotlib'}"
    command = f"import sys, polydx.cli; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
