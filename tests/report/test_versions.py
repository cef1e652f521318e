import subprocess
from importlib.metadata import version
from pathlib import Path

from polydx.report.versions import git_state, versions


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout


def test_versions_name_every_requirement() -> None:
    found = versions(["pytest"])
    packages = found["packages"]
    assert isinstance(packages, dict)
    assert {"numpy", "torch", "transformers", "scikit-learn", "snakemake"} <= set(packages)
    assert packages["numpy"] == version("numpy")
    assert packages["pytest"] == version("pytest")
    assert "hypothesis" not in packages


def test_git_state_follows_the_code(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "a.py").write_text("x = 1\n")
    assert git_state(code) is None
    git(tmp_path, "init", "--quiet")
    assert git_state(code) is None
    git(tmp_path, "add", "code")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    clean = git_state(code)
    assert clean == {"revision": git(tmp_path, "rev-parse", "HEAD").strip(), "modified": False}
    (tmp_path / "notes.txt").write_text("outside the code\n")
    assert git_state(code) == clean
    (code / "b.py").write_text("y = 2\n")
    assert git_state(code) == {**clean, "modified": True}
