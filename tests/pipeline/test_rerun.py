"""What the engine would do again when a setting of a finished run changes; nothing is done here."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from polydx.paths import RunPaths
from polydx.plan import jobs, token_files
from polydx.resolve import load_settings

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("polydx")
ALWAYS = {"all": 1, "score_run": 1, "submit": 1}
"""The last rules: the score card holds all settings."""

Plan = Callable[..., dict[str, int]]


@pytest.fixture
def plan(smoke_run: RunPaths, tmp_path: Path) -> Iterator[Plan]:
    """Jobs of each rule that the engine would do under changed settings; the run keeps its own."""
    original = smoke_run.settings.read_bytes()
    settings = tmp_path / "settings.json"
    settings.write_bytes(original)

    def dry_run(*overrides: str, options: tuple[str, ...] = ()) -> dict[str, int]:
        command = [PROGRAM, "run", settings, *overrides, "--", "--dry-run", *options]
        output = subprocess.check_output(command, cwd=ROOT, text=True, stderr=subprocess.STDOUT)
        # The engine prints its table before and after the jobs.
        table = dict(re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE))
        total = int(table.pop("total", 0))
        planned = {rule: int(count) for rule, count in table.items()}
        assert sum(planned.values()) == total
        assert planned or "Nothing to be done" in output
        return planned

    yield dry_run
    # Its age counts for nothing: rules depend on settings by their values.
    smoke_run.settings.write_bytes(original)


def test_unchanged_settings_redo_nothing(plan: Plan) -> None:
    assert plan() == {}


def test_a_setting_of_the_stack_redoes_the_stack_and_what_follows(plan: Plan) -> None:
    assert plan("stack.max_labels=5") == ALWAYS | {"stack": 1}


def test_a_setting_of_a_member_spares_the_others_in_round_0(plan: Plan) -> None:
    assert plan("members.linear.inverse_regularisation=3") == ALWAYS | {
        "stack": 1,
        "finetune_linear_round0": 2,
        "pseudo": 2,
        "finetune_bert_fgm_round1": 2,
        "finetune_ernie_pgd_round1": 2,
        "finetune_linear_round1": 2,
        "distil_0": 1,
        "distil_1": 1,
        "distil_all": 1,
    }


def test_a_setting_of_an_encoder_spares_the_others_in_round_0(plan: Plan) -> None:
    planned = plan("encoders.small_ernie.pretrain.epochs=2")
    assert planned["pretrain"] == 1
    assert planned["finetune_ernie_pgd_round0"] == 2
    assert not {"clean", "inspect", "split", "finetune_bert_fgm_round0", "finetune_linear_round0"} & set(planned)


def test_frozen_layers_are_run_once_for_all_folds_before_them(plan: Plan) -> None:
    planned = plan("members.bert_fgm={frozen_layers: 0, adversary: {method: none}}")
    assert planned["lower_states_bert_fgm"] == 1
    assert not any(rule.startswith("tokens_") for rule in planned), "they are read as before"
    assert planned["finetune_bert_fgm_round0"] == planned["finetune_bert_fgm_round1"] == 2
    assert "finetune_ernie_pgd_round0" not in planned


def test_what_a_member_reads_is_encoded_anew_for_it_alone(plan: Plan, smoke_run: RunPaths) -> None:
    change = "members.bert_fgm.max_tokens=40"
    # The engine writes the changed settings down.
    before, after = (set(token_files(load_settings(smoke_run.settings, each))) for each in ((), (change,)))
    planned = plan(change)
    assert before < after, "the student reads as it did"
    assert [rule for rule in planned if rule.startswith("tokens_")] == [f"tokens_{name}" for name in after - before]
    assert "finetune_ernie_pgd_round0" not in planned


def test_the_way_the_machine_is_filled_redoes_no_training(plan: Plan) -> None:
    assert set(plan("compute.cores=1", "compute.checkpoint_seconds=5")) == set(ALWAYS)


def test_the_whole_plan_is_what_check_announces(plan: Plan, smoke_run: RunPaths) -> None:
    done = Counter[str]()
    for rule, count in plan(options=("--forceall",)).items():
        done[rule.partition("_")[0]] += count
    announced = Counter(jobs(load_settings(smoke_run.settings)))
    assert done == announced + Counter(["sample", "score", "all"])


def test_a_table_replaced_by_an_older_one_is_cleaned_again(sample_folder: Path, tmp_path: Path) -> None:
    """Unpacked archives and copies keep their times: the engine alone would take the old records for the new ones."""
    tables = tmp_path / "tables"
    shutil.copytree(sample_folder, tables)
    command = [PROGRAM, "run", ROOT / "configs" / "smoke.yaml", "run.name=older", "contest.sample=null"]
    command += [f"contest.folder={tables}", "--", "--snakefile", ROOT / "Snakefile"]
    command += ["runs/older/s1_clean/records.parquet"]
    subprocess.run(command, cwd=tmp_path, check=True, stderr=subprocess.DEVNULL)

    def planned() -> str:
        return subprocess.check_output([*command, "--dry-run"], cwd=tmp_path, text=True, stderr=subprocess.STDOUT)

    assert "clean" not in planned()
    test = tables / "test.json"
    records = json.loads(test.read_text(encoding="utf-8"))
    test.write_text(json.dumps(records[:-1], ensure_ascii=False), encoding="utf-8")
    os.utime(test, (1_500_000_000, 1_500_000_000))
    assert "clean" in planned()
