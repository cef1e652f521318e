"""What a result was made with: packages, and the state of the code."""

import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import polydx

PACKAGE = "polydx"
REQUIREMENT_NAME = re.compile(r"[A-Za-z0-9._-]+")


def versions(weights: Iterable[str]) -> dict[str, object]:
    """Versions of Python, of this package and of everything that it requires, and the git state of its code.

    Args:
        weights: Distributions beyond the requirements, which carry encoders' weights.
    """
    required = [line for line in requires(PACKAGE) or () if "extra ==" not in line]
    names = sorted({*(_name(line) for line in required), *weights})
    return {
        "python": platform.python_version(),
        PACKAGE: version(PACKAGE),
        "packages": {name: _version(name) for name in names},
        "git": git_state(Path(polydx.__file__).parent),
    }


def git_state(code: Path) -> dict[str, object] | None:
    """Revision of the repository that tracks a folder of code, and whether the folder differs from it.

    Args:
        code: A folder.

    Returns:
        `{"revision": str, "modified": bool}`, or None where git is absent, doesn't track the folder or has no commit.
    """
    git = shutil.which("git")
    if git is None or not _git(git, code, "ls-files", "."):
        return None
    revision = _git(git, code, "rev-parse", "HEAD")
    return {"revision": revision, "modified": bool(_git(git, code, "status", "--porcelain", "."))} if revision else None


def _git(git: str, folder: Path, *arguments: str) -> str:
    """Output of a git command; empty where it fails, as it does outside a repository."""
    result = subprocess.run([git, "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else ""


def _name(requirement: str) -> str:
    found = REQUIREMENT_NAME.match(requirement)
    if found is None:
        raise ValueError(f"requirement {requirement!r} has no name")
    return found.group()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
