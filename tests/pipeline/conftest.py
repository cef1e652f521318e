"""What the pipeline's tests share: the stages of a run as plain commands, done in the test's own process.

The engine starts a process for every job and pays its imports each time; the commands are the same.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from polydx.cli import main
from polydx.config import Settings
from polydx.paths import ALL_ROWS, RunPaths
from polydx.plan import fold_jobs, lower_states, token_files
from polydx.resolve import load_settings, write_settings

CONFIGS = Path(__file__).parents[2] / "configs"


class StagedRun:
    """A run in a folder of its own, stage by stage."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self.root, self.settings = root, settings
        name = settings.run.name
        self.paths = RunPaths(name, root / "runs", root / "submissions")
        write_settings(settings, self.paths.settings)

    def do(self, *stages: str) -> None:
        """Do stages with all their jobs; `finetune` stands for all rounds with their pseudo-labels."""
        with contextlib.chdir(self.root):
            for stage in stages:
                for job in self._jobs(stage):
                    assert main([job[0], "--config", str(self.paths.settings), *job[1:]]) == 0, job

    def _jobs(self, stage: str) -> Iterator[list[str]]:
        folds = [str(fold) for fold in range(fold_jobs(self.settings.split))]
        if stage == "pretrain":
            yield from ([stage, "--encoder", name] for name in self.settings.encoders)
        elif stage == "finetune":
            yield from (["tokens", "--file", name] for name in token_files(self.settings))
            yield from (["lower-states", "--member", name] for name in lower_states(self.settings).values())
            for number in range(self.settings.pseudo.rounds + 1):
                place = [["--round", str(number), "--fold", fold] for fold in folds]
                yield from (["pseudo", *where] for where in place if number)
                yield from ([stage, "--member", name, *where] for where in place for name in self.settings.members)
        elif stage == "distil":
            yield from ([stage, "--fold", fold] for fold in [*folds, ALL_ROWS])
        else:
            yield [stage]


NewRun = Callable[..., StagedRun]


@pytest.fixture(scope="session")
def new_run() -> NewRun:
    """Make a run: `new_run(root, "smoke.yaml", "run.seed=1", …)`."""

    def make(root: Path, config: str, *overrides: str) -> StagedRun:
        return StagedRun(root, load_settings(CONFIGS / config, overrides))

    return make


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke configuration's sample contest."""
    folder = tmp_path_factory.mktemp("sample") / "smoke"
    size = load_settings(CONFIGS / "smoke.yaml").contest.sample
    assert size is not None
    sizes = [f"--train={size.train}", f"--test={size.test}", f"--unlabelled={size.unlabelled}", f"--seed={size.seed}"]
    assert main(["sample", str(folder), *sizes]) == 0
    return folder
