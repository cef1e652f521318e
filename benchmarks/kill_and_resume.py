"""Kill a run's whole process group with SIGKILL at random moments, start it again each time, and compare submissions.

    python benchmarks/kill_and_resume.py --config configs/smoke.yaml --kills 8 --seed 0 compute.checkpoint_seconds=0.2

The configuration runs once undisturbed and once with kills, in two fresh folders, under the same settings. The
undisturbed run's time is cut into as many equal parts as there are kills, and a moment is drawn from each. Since every
restart costs time, a moment is not kept as seconds since the start but as jobs done and seconds since the last of them.
Leave the source alone meanwhile: jobs whose code changes are done again.

The last line is JSON; the exit status is 1 unless every kill hit a run at work and the submissions are the same.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from polydx.paths import RunPaths
from polydx.resolve import load_settings

SNAKEFILE = Path(__file__).resolve().parents[1] / "Snakefile"
POLL_SECONDS = 0.05
DEATH_SECONDS = 10.0
PROGRESS = re.compile(r"(\d+) of (\d+) steps")
STAGE = re.compile(r"bin/polydx ([a-z-]+)")


@dataclass
class Attempt:
    """One start of the workflow in a session, and so a process group, of its own.

    Attributes:
        folder: Where it was started; whatever it starts is found by that.
        process: The engine.
        log: What it prints.
        started: Moment on the monotonic clock.
        finishes: Moments at which jobs were seen to be done.
        left: Jobs left to do; None until the first is done.
    """

    folder: Path
    process: subprocess.Popen[bytes]
    log: Path
    started: float = field(default_factory=time.monotonic)
    finishes: list[float] = field(default_factory=list)
    left: int | None = None

    def look(self) -> bool:
        """Note the progress since the last look; returns whether the engine still runs."""
        running = self.process.poll() is None
        steps = PROGRESS.findall(self.log.read_text(encoding="utf-8", errors="replace"))
        if steps:
            done, planned = map(int, steps[-1])
            self.left = planned - done
            self.finishes += [time.monotonic()] * (done - len(self.finishes))
        return running

    def kill(self) -> tuple[list[str], int]:
        """Kill the group; returns the stages then at work, and how many processes lived on outside the group."""
        stages = sorted({stage for stage in map(stage_of, processes_in(self.folder)) if stage})
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        deadline = time.monotonic() + DEATH_SECONDS
        while (alive := list(processes_in(self.folder))) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        for pid in alive:
            os.kill(pid, signal.SIGKILL)
        return stages, len(alive)


@dataclass(frozen=True)
class Moment:
    """A moment of the undisturbed run: so many jobs done, and so many seconds since the last of them."""

    jobs_done: int
    seconds_since: float


def processes_in(folder: Path) -> Iterator[int]:
    """Yield the living processes whose working folder it is."""
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and (entry / "cwd").readlink() == folder:
                yield int(entry.name)
        except OSError:
            continue


def stage_of(pid: int) -> str | None:
    """Name the stage that a process does; None for the engine and for shells."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None
    found = STAGE.search(command)
    return found[1] if found else None


def start(folder: Path, arguments: Sequence[str], number: int) -> Attempt:
    """Start the workflow in a folder."""
    log = folder / f"attempt{number}.log"
    program = Path(sys.executable).with_name("polydx")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "run", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Attempt(folder, process, log)


def finish(attempt: Attempt) -> None:
    """Wait for the end of an attempt; a failure shows its log and ends the benchmark."""
    while attempt.look():
        time.sleep(POLL_SECONDS)
    if attempt.process.returncode != 0:
        sys.exit(attempt.log.read_text(encoding="utf-8", errors="replace"))


def draw_moments(undisturbed: Attempt, kills: int, seed: int) -> list[Moment]:
    """Draw one moment from each of `kills` equal parts of the time until the last stage's end, in order."""
    draw = random.Random(seed)
    # The last two jobs are the scoring rule and the engine's own target: neither is a stage.
    stages_end = undisturbed.finishes[-3]
    part = (stages_end - undisturbed.started) / kills
    moments = []
    for number in range(kills):
        at = undisturbed.started + (number + draw.random()) * part
        earlier = [moment for moment in undisturbed.finishes if moment <= at]
        moments.append(Moment(len(earlier), at - (earlier[-1] if earlier else undisturbed.started)))
    return moments


def await_moment(attempt: Attempt, moment: Moment, jobs: int, done_before: int, startup: float) -> bool:
    """Wait until a moment has come.

    Args:
        attempt: The attempt to watch.
        moment: What to wait for.
        jobs: Jobs of the whole run.
        done_before: Jobs done when the attempt started.
        startup: Seconds that a restart takes to where the killed attempt was.

    Returns:
        False if the attempt ended before.
    """
    reached = None
    if done_before >= moment.jobs_done:
        reached = attempt.started + (startup if done_before else 0.0)
    while attempt.look():
        done = done_before if attempt.left is None else jobs - attempt.left
        if reached is None and done >= moment.jobs_done:
            reached = time.monotonic()
        passed = done > max(moment.jobs_done, done_before)
        if passed or (reached is not None and time.monotonic() >= reached + moment.seconds_since):
            return True
        time.sleep(POLL_SECONDS)
    return False


def submission(folder: Path, name: str) -> Path:
    """Find the submission file of a run."""
    (file,) = RunPaths(name, submissions=folder / "submissions").submission.glob("submission.*")
    return file


def differing_files(one: Path, other: Path) -> list[str]:
    """Name the files of the first submission folder that the second has not, or not with the same bytes."""
    files = sorted(file.relative_to(one) for file in one.rglob("*") if file.is_file())
    return [
        str(file)
        for file in files
        if not (other / file).exists() or (one / file).read_bytes() != (other / file).read_bytes()
    ]


def disturb(folder: Path, arguments: Sequence[str], undisturbed: Attempt, moments: Sequence[Moment]) -> dict[str, int]:
    """Run with a kill at every moment, then to the end.

    Returns:
        `kills` that hit a run at work, processes that were `left_alive` outside the group, summed over the kills.
    """
    jobs = len(undisturbed.finishes)
    # Nearly all of a first job's time in the tiny runs that this is for is the engine's and Python's own start.
    startup = undisturbed.finishes[0] - undisturbed.started
    done, kills, left_alive = 0, 0, 0
    for number, moment in enumerate(moments):
        attempt = start(folder, arguments, number)
        if not await_moment(attempt, moment, jobs, done, startup):
            print(f"kill {number + 1}: too late, the run had ended", flush=True)
            finish(attempt)
            break
        stages, alive = attempt.kill()
        done = done if attempt.left is None else jobs - attempt.left
        kills, left_alive = kills + 1, left_alive + alive
        at_work = ", ".join(stages) or "the engine alone"
        seconds = time.monotonic() - attempt.started
        print(f"kill {number + 1}: {done} of {jobs} jobs done, {seconds:.1f} s after the start: {at_work}", flush=True)
    finish(start(folder, arguments, len(moments)))
    return {"kills": kills, "left_alive": left_alive}


def main() -> None:
    """Run undisturbed, run with kills, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("configs/smoke.yaml"))
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    options = parser.parse_args()
    settings = load_settings(options.config, options.overrides)
    arguments = [str(options.config.resolve()), *options.overrides]
    if settings.contest.sample is None:
        arguments.append(f"contest.folder={settings.contest.folder.resolve()}")

    with tempfile.TemporaryDirectory(prefix="kill_and_resume_") as work:
        folders = [Path(work).resolve() / name for name in ("undisturbed", "killed")]
        for folder in folders:
            folder.mkdir()
            shutil.copy(SNAKEFILE, folder)
        undisturbed = start(folders[0], arguments, 0)
        finish(undisturbed)
        seconds = time.monotonic() - undisturbed.started
        print(f"undisturbed: {len(undisturbed.finishes)} jobs in {seconds:.1f} s", flush=True)
        moments = draw_moments(undisturbed, options.kills, options.seed)
        summary = disturb(folders[1], arguments, undisturbed, moments)
        one, other = (submission(folder, settings.run.name) for folder in folders)
        identical = one.read_bytes() == other.read_bytes()
        differing = differing_files(one.parent, other.parent)
    print(json.dumps({**summary, "identical": identical, "differing_files": differing, "seconds": round(seconds, 1)}))
    sys.exit(0 if identical and summary["kills"] == options.kills and not summary["left_alive"] else 1)


if __name__ == "__main__":
    main()
