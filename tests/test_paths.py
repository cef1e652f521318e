import inspect
from pathlib import Path

from polydx.paths import ALL_ROWS, FoldFiles, RunPaths

PATHS = RunPaths("mine", Path("here/runs"), Path("here/submissions"))


def properties(value: object) -> dict[str, Path]:
    """What every property of a class of paths gives."""
    found = inspect.getmembers(type(value), lambda member: isinstance(member, property))
    return {name: getattr(value, name) for name, _ in found}


def every_path() -> list[Path]:
    folds = [
        PATHS.fold_model("one", 0, 0),
        PATHS.fold_model("one", 0, 1),
        PATHS.fold_model("one", 1, 0),
        PATHS.fold_model("two", 0, 0),
        PATHS.student(0),
        PATHS.student(ALL_ROWS),
    ]
    jobs = [
        PATHS.encoder("one"),
        PATHS.encoder("two"),
        PATHS.tokens("one"),
        PATHS.tokens("two"),
        PATHS.pseudo(1, 0),
        PATHS.pseudo(1, 1),
        PATHS.pseudo(2, 0),
        PATHS.decisions("mean"),
        PATHS.decisions("final"),
        PATHS.checkpoints("one"),
        PATHS.checkpoints("two"),
    ]
    return [*properties(PATHS).values(), *jobs, *(path for files in folds for path in properties(files).values())]


def test_no_two_artefacts_share_a_place() -> None:
    paths = every_path()
    assert len(paths) > 50
    assert len(set(paths)) == len(paths)


def test_everything_lies_in_the_runs_two_folders() -> None:
    inside = (PATHS.root, PATHS.submission)
    assert inside == (Path("here/runs/mine"), Path("here/submissions/mine"))
    assert all(any(path.is_relative_to(folder) for folder in inside) for path in every_path())


def test_a_jobs_checkpoint_lies_outside_what_the_engine_deletes_before_a_rerun() -> None:
    outputs = [PATHS.encoder("one"), PATHS.fold_model("one", 0, 0).folder, PATHS.student(0).folder]
    assert not any(PATHS.checkpoints("one").is_relative_to(output) for output in outputs)


def test_by_default_runs_lie_where_the_command_was_started() -> None:
    assert RunPaths("mine").records == Path("runs/mine/s1_clean/records.parquet")
    assert RunPaths("mine").scores == Path("submissions/mine/scores.json")


def test_a_folds_files_lie_in_its_folder() -> None:
    files = FoldFiles(Path("fold0"))
    assert {path.name for path in properties(files).values()} == {
        "model",
        "validation.npy",
        "test.npy",
        "unlabelled.npy",
        "training.npy",
        "report.json",
    }
