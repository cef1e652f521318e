"""Output written block by block that a killed job goes on with, to the same bytes as an undisturbed one.

Blocks go to `.NAME.part`; `.NAME.state` beside it says how many bytes and records of it are whole, and what they were
made from. What a killed job wrote behind its last whole block is cut off. The finished file gets its name last.
"""

import fcntl
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from polydx.artifacts import DISK_FULL, read_json, write_json
from polydx.deploy.outputs import FIX, writing
from polydx.errors import UserError


@dataclass(frozen=True)
class State:
    """How far an output is.

    Attributes:
        identity: Names all that the bytes depend on.
        bytes: Bytes of whole blocks.
        records: Records in them.
    """

    identity: str
    bytes: int = 0
    records: int = 0


class BlockWriter:
    """Writes one file in blocks; used as a context manager.

    Attributes:
        resumed: Records that an earlier, killed job had written.
        discarded: Whether an earlier job's unfinished output was thrown away, since it was made from something else.
    """

    def __init__(self, target: Path, identity: str) -> None:
        """Prepare; nothing is written before the context is entered.

        Args:
            target: The file to write.
            identity: Changes whenever anything changes that the output depends on.
        """
        self._target = target
        self._part, self._state_file = partial_files(target)
        self._state = State(identity)
        self.resumed, self.discarded = 0, False

    def __enter__(self) -> "BlockWriter":
        """Take hold of the unfinished output and cut it behind its last whole block.

        Raises:
            UserError: Another process is writing it, or it can't be written there.
        """
        with writing(self._target):
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("ab")
        if not self._hold():
            self._file.close()
            raise UserError(str(self._target), "another process is writing it", f"wait for it, or {FIX}")
        earlier = self._earlier()
        if earlier is not None:
            self.discarded = earlier.identity != self._state.identity
            if not self.discarded and earlier.bytes <= self._part.stat().st_size:
                self._state = earlier
        # Now, so that a name that leaves no room for the state's is refused before any work; and before the part is
        # cut, or the job of an earlier state, started again after this one is killed, would go on with its bytes.
        try:
            with writing(self._target):
                self._write_state()
        except (UserError, OSError):
            if self._part.stat().st_size == 0:
                self._part.unlink()
            self._file.close()
            raise
        self._file.truncate(self._state.bytes)
        self.resumed = self._state.records
        return self

    def write(self, text: str, records: int) -> None:
        """Add a block: once this returns, a killed job goes on behind it."""
        data = text.encode("utf-8")
        try:
            self._file.write(data)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            # A failed write names no file by itself.
            raise OSError(error.errno, os.strerror(error.errno), str(self._target)) from error
        self._state = State(self._state.identity, self._state.bytes + len(data), self._state.records + records)
        self._write_state()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the file its name if all went well; else leave it to be resumed."""
        if kind is None:
            self._part.replace(self._target)
            self._state_file.unlink(missing_ok=True)
        self._file.close()

    def _write_state(self) -> None:
        write_json(self._state_file, asdict(self._state))

    def _hold(self) -> bool:
        """Lock the open file; False where another process has it, or finished and renamed it since it was opened."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.path.samestat(os.fstat(self._file.fileno()), self._part.stat())
        except (BlockingIOError, FileNotFoundError):
            return False

    def _earlier(self) -> State | None:
        """What an earlier job left; None where it left nothing that can be understood."""
        try:
            return State(**read_json(self._state_file))
        except (OSError, ValueError, TypeError):
            return None


def partial_files(target: Path) -> tuple[Path, Path]:
    """Return the files of an unfinished output: its bytes, and its state."""
    return target.with_name(f".{target.name}.part"), target.with_name(f".{target.name}.state")
