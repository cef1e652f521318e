"""Predict a long JSON-lines file under a memory limit: undisturbed, killed half-way and resumed, with malformed lines.

    python benchmarks/predict_stream.py [--model DIR --input FILE] [--records 50000] [--limit-gb 1.5]

Without a model, a student of random weights and generated records stand in: memory and bytes are what count here.
Malformed lines are planted behind the first records: refused by number with status 2, then left out with --skip-bad.

The last line is JSON; the exit status is 1 unless everything holds.
"""

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from polydx.deploy.blocks import partial_files
from stand_in_student import Shape, new_parser, parse, start

SHAPE = Shape(layers=2, hidden_size=64, max_tokens=128, vocabulary_size=2000)
POLL_SECONDS = 0.05
SPOILT_RECORDS = 2000
"""Sound records before the malformed lines: those are found before any work, so more would show no more."""
PROGRAM = "import sys; from polydx.cli import main; sys.exit(main(sys.argv[1:]))"


@dataclass(frozen=True)
class Ended:
    """How a job ended: its status, negative where a signal killed it, its peak memory in GB, seconds, and errors.

    The peak is the one last seen, at most `POLL_SECONDS` before the end.
    """

    status: int
    memory_gb: float
    seconds: float
    errors: str


def predict(model: Path, source: Path, target: Path, options: Sequence[str] = (), kill_at: int | None = None) -> Ended:
    """Run `polydx predict` in a process of its own, and kill it once so many records are written."""
    call = ["predict", "--model", str(model), "--input", str(source), "--output", str(target), *options]
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, *call], stderr=errors)
        memory_gb = 0.0
        while process.poll() is None:
            memory_gb = peak_memory_gb(process.pid) or memory_gb
            if kill_at is not None and written(target) >= kill_at:
                process.send_signal(signal.SIGKILL)
                kill_at = None
            time.sleep(POLL_SECONDS)
        errors.seek(0)
        said = errors.read()
    seconds = time.monotonic() - started
    return Ended(process.returncode, memory_gb, seconds, said)


def peak_memory_gb(pid: int) -> float | None:
    """Gigabytes that a process held at most, by Linux's own mark; None once it has ended and holds nothing.

    What `wait4` says of a child also counts what the process that started it held.
    """
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    marks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(marks[0]) * 1024 / 1e9 if marks else None


def written(target: Path) -> int:
    """Records in whole blocks of an unfinished output."""
    try:
        state = json.loads(partial_files(target)[1].read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return 0
    return int(state["records"])


def main() -> None:
    """Predict undisturbed, killed and resumed, and with malformed lines."""
    parser = new_parser(__doc__)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--limit-gb", type=float, default=1.5)
    options = parse(parser)

    with tempfile.TemporaryDirectory(prefix="predict_stream_") as work:
        source = Path(work) / "new.jsonl"
        model, lines = start(options, SHAPE, options.records, Path(work))
        source.write_text("\n".join(lines) + "\n", encoding="utf-8")
        whole, resumed, skipped = (Path(work) / f"{name}.jsonl" for name in ("whole", "resumed", "skipped"))

        undisturbed = predict(model, source, whole)
        print(f"undisturbed: {undisturbed.seconds:.0f} s, {undisturbed.memory_gb:.2f} GB", flush=True)
        killed = predict(model, source, resumed, kill_at=len(lines) // 2)
        at = written(resumed)
        print(f"killed: status {killed.status} at {at} of {len(lines)} records", flush=True)
        second = predict(model, source, resumed)
        print(f"resumed: {second.seconds:.0f} s, {second.memory_gb:.2f} GB", flush=True)

        some = min(len(lines), SPOILT_RECORDS)
        source.write_text("\n".join([*lines[:some], "{broken", "7"]) + "\n", encoding="utf-8")
        refused = predict(model, source, skipped)
        named = [int(number) for number in re.findall(r"line (\d+)", refused.errors)]
        kept = predict(model, source, skipped, ["--skip-bad"])
        memory = max(ended.memory_gb for ended in (undisturbed, killed, second, refused, kept))
        summary = {
            "records": len(lines),
            "records_a_second": round(len(lines) / undisturbed.seconds, 1),
            "peak_memory_gb": round(memory, 3),
            "killed_at": at,
            "identical": whole.read_bytes() == resumed.read_bytes(),
            "malformed_lines_named": named == [some + 1, some + 2] and refused.status == 2,
            "skip_bad_kept_the_rest": kept.status == 0 and len(skipped.read_bytes().splitlines()) == some,
        }
    print(json.dumps(summary))
    died_at_work = killed.status == -signal.SIGKILL and 0 < at < len(lines)
    held = all(summary[name] for name in ("identical", "malformed_lines_named", "skip_bad_kept_the_rest"))
    sys.exit(0 if held and died_at_work and memory <= options.limit_gb else 1)


if __name__ == "__main__":
    main()
