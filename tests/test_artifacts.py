import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from polydx.artifacts import (
    DISK_FULL,
    as_umask_allows,
    fingerprint_arrays,
    read_array,
    read_json,
    replacing,
    write_array,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_block_that_raises_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "target.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError, match="midway"), replacing(target) as temporary:
        temporary.write_text("half of the n", encoding="utf-8")
        raise RuntimeError("midway")
    assert target.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["target.txt"]


def test_the_target_shows_nothing_until_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new" / "target.txt"
    with replacing(target) as temporary:
        temporary.write_text("new", encoding="utf-8")
        assert temporary.parent == target.parent
        assert not target.exists()
    assert target.read_text(encoding="utf-8") == "new"
    assert names(target.parent) == ["target.txt"]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for name in ("first.txt", "second.txt"):
        with replacing(target) as temporary:
            write_text(temporary / name, name)
    assert names(target) == ["second.txt"]
    with pytest.raises(RuntimeError), replacing(target) as temporary:
        write_text(temporary / "third.txt", "third")
        raise RuntimeError
    assert names(target) == ["second.txt"]
    assert names(tmp_path) == ["model"]


def test_a_link_to_a_folder_stays_and_the_folder_is_replaced(tmp_path: Path) -> None:
    write_text(tmp_path / "disk" / "model" / "old.txt", "old")
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "model")
    with replacing(tmp_path / "link") as temporary:
        write_text(temporary / "new.txt", "new")
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "disk") == ["model"]
    assert names(tmp_path / "disk" / "model") == ["new.txt"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_file_gets_the_mode_that_the_umask_allows(tmp_path: Path, umask: int, mode: int) -> None:
    (tmp_path / "weights").touch(0o600)
    before = os.umask(umask)
    try:
        as_umask_allows(tmp_path / "weights")
    finally:
        assert os.umask(before) == umask
    assert (tmp_path / "weights").stat().st_mode & 0o777 == mode


def test_what_a_killed_writer_left_is_removed_and_what_a_running_one_writes_is_not(tmp_path: Path) -> None:
    target = tmp_path / "model [1]"
    killed = """
import os, pathlib, signal, sys
from polydx.artifacts import replacing
with replacing(pathlib.Path(sys.argv[1])) as temporary:
    temporary.mkdir()
    (temporary / "weights").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", killed, str(target)], check=False)
    assert len(names(tmp_path)) == 1
    running = tmp_path / f".{target.name}.{os.getppid()}.part"
    running.touch()
    write_text(target, "whole")
    assert names(tmp_path) == [running.name, target.name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_names_the_target(tmp_path: Path) -> None:
    target = tmp_path / "target.txt"
    write_text(target, "old")
    with pytest.raises(OSError, match=r"target\.txt") as caught, replacing(target) as temporary:
        temporary.symlink_to("/dev/full")
        temporary.write_text("no room", encoding="utf-8")
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.errno in DISK_FULL
    assert caught.value.filename == str(target)
    assert target.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["target.txt"]


def test_other_faults_of_the_system_stay_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"), replacing(tmp_path / "target.txt"):
        (tmp_path / "absent").read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [1.0, -float("inf")]}])
def test_json_without_a_spelling_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "value.json", value)
    assert names(tmp_path) == []


def test_json_comes_back_in_its_order(tmp_path: Path) -> None:
    value = {"b": ["肺炎", 1, 0.1, None, True], "a": {}}
    write_json(tmp_path / "value.json", value)
    assert read_json(tmp_path / "value.json") == value
    assert list(read_json(tmp_path / "value.json")) == ["b", "a"]
    assert "肺炎" in (tmp_path / "value.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "array",
    [
        np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4),
        np.zeros((0, 4), dtype=np.float32),
        np.array([[True, False]]),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
    ],
)
def test_arrays_come_back_with_type_and_shape(tmp_path: Path, array: np.ndarray) -> None:
    write_array(tmp_path / "array.npy", array)
    found = read_array(tmp_path / "array.npy")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    assert not found.flags.writeable


def test_objects_are_not_pickled(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pickle"):
        write_array(tmp_path / "array.npy", np.array([{}], dtype=object))
    assert names(tmp_path) == []


def test_a_fingerprint_depends_on_values_types_and_shapes() -> None:
    array = np.arange(6)
    others = [array + 1, array.astype(np.int32), array.reshape(2, 3)]
    assert fingerprint_arrays(array) == fingerprint_arrays(array.copy())
    assert len({fingerprint_arrays(each) for each in (array, *others)}) == 4
    transposed = array.reshape(2, 3).T
    assert fingerprint_arrays(transposed) == fingerprint_arrays(np.ascontiguousarray(transposed))
