"""Block-wise output: what a job leaves at every possible moment of its death is gone on with to the same bytes."""

import fcntl
from pathlib import Path
from typing import IO

import pytest

from polydx.deploy.blocks import BlockWriter, partial_files
from polydx.errors import UserError

BLOCKS = [("一\n二\n", 2), ("三\n", 1), ("四\n五\n", 2)]
WHOLE = "".join(text for text, _ in BLOCKS).encode()


class Died(BaseException):
    pass


def write(target: Path, identity: str, until: int | None = None) -> int:
    """Write the blocks that are missing, dying before block `until`; returns the records resumed."""
    with BlockWriter(target, identity) as output:
        left = output.resumed
        for number, (text, records) in enumerate(BLOCKS):
            if left > 0:
                left -= records
                continue
            if number == until:
                raise Died
            output.write(text, records)
    return output.resumed


@pytest.mark.parametrize("until", [0, 1, 2])
@pytest.mark.parametrize("torn", [b"", b"torn \xe4", b"x" * 100])
def test_whole_blocks_stay_and_torn_ones_go(tmp_path: Path, until: int, torn: bytes) -> None:
    target = tmp_path / "folder" / "out.jsonl"
    with pytest.raises(Died):
        write(target, "same", until)
    assert not target.exists()
    with partial_files(target)[0].open("ab") as part:
        part.write(torn)
    assert write(target, "same") == sum(records for _, records in BLOCKS[:until])
    assert target.read_bytes() == WHOLE
    assert [path.name for path in target.parent.iterdir()] == ["out.jsonl"]


@pytest.mark.parametrize("damage", ["state gone", "part gone", "part shortened", "state torn", "other identity"])
def test_what_does_not_fit_together_is_begun_again(tmp_path: Path, damage: str) -> None:
    target = tmp_path / "out.jsonl"
    with pytest.raises(Died):
        write(target, "same", until=2)
    part, state = partial_files(target)
    if damage == "state gone":
        state.unlink()
    elif damage == "part gone":
        part.unlink()
    elif damage == "part shortened":
        part.write_bytes(part.read_bytes()[:-1])
    elif damage == "state torn":
        state.write_text(state.read_text(encoding="utf-8")[:10], encoding="utf-8")
    assert write(target, "other" if damage == "other identity" else "same") == 0
    assert target.read_bytes() == WHOLE


def test_another_job_that_dies_at_once_leaves_nothing_to_go_on_with(tmp_path: Path) -> None:
    """Bytes of the second job must not pass for those that the first one's state speaks of."""
    target = tmp_path / "out.jsonl"
    with pytest.raises(Died):
        write(target, "first", until=2)
    with pytest.raises(Died), BlockWriter(target, "second") as output:
        assert output.discarded
        output._file.write(b"bytes of the second job, killed before it could say how many are whole")
        raise Died
    assert write(target, "first") == 0
    assert target.read_bytes() == WHOLE


def test_an_old_result_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("old", encoding="utf-8")
    with pytest.raises(Died):
        write(target, "same", until=1)
    assert target.read_text(encoding="utf-8") == "old"
    write(target, "same")
    assert target.read_bytes() == WHOLE


@pytest.mark.parametrize("parent", ["file", "link", "/proc/none"])
def test_a_place_where_nothing_can_be_written_is_the_users_fault(tmp_path: Path, parent: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    target = tmp_path / parent / "out.jsonl"
    with pytest.raises(UserError, match=r"can't be written \(.+\); name another --output"), BlockWriter(target, "same"):
        pass


@pytest.mark.parametrize("length", [249, 246])
def test_a_name_that_leaves_no_room_for_the_states_is_refused_at_once(tmp_path: Path, length: int) -> None:
    """The part's name still fits into the file system's 255 bytes; the state's own, or its temporary one, doesn't."""
    target = tmp_path / ("x" * length)
    with pytest.raises(UserError, match=r"can't be written \(File name too long\)"), BlockWriter(target, "same"):
        pytest.fail("it was entered")
    assert not list(tmp_path.iterdir())


def test_a_state_that_cannot_be_written_leaves_an_earlier_jobs_bytes(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    part, state = partial_files(target)
    part.write_bytes(b"of an earlier job")
    state.mkdir()
    with pytest.raises(UserError, match=r"can't be written"), BlockWriter(target, "same"):
        pass
    assert part.read_bytes() == b"of an earlier job"


def test_two_writers_of_one_output_are_refused(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    with BlockWriter(target, "same") as output:
        output.write(*BLOCKS[0])
        with pytest.raises(UserError, match="another process"), BlockWriter(target, "same"):
            pass
    assert target.read_bytes() == BLOCKS[0][0].encode()


def test_a_file_that_was_finished_meanwhile_is_not_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out.jsonl"
    flock = fcntl.flock

    def late(file: IO[bytes], operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        partial_files(target)[0].replace(target)  # what the process that held it does last
        flock(file, operation)

    partial_files(target)[0].write_bytes(WHOLE)
    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(UserError, match="another process"), BlockWriter(target, "same"):
        pass
    assert target.read_bytes() == WHOLE
