import sys

import pytest

from polydx import progress
from polydx.progress import ENGINE_VARIABLE, Reporter


@pytest.fixture
def at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)


@pytest.mark.usefixtures("at_every_step")
def test_a_line_is_printed_when_its_time_has_come(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter("pretrain small", 10, "steps") as reporter:
        reporter.step(4, note="loss 1.25")
        reporter.step()
    output = capsys.readouterr()
    assert output.out == ""
    first, second = output.err.splitlines()
    assert first.startswith("pretrain small: 4/10 steps, ")
    assert first.endswith(" s left loss 1.25")
    assert second.startswith("pretrain small: 5/10 steps, ")
    assert second.endswith(" s left")


@pytest.mark.usefixtures("at_every_step")
def test_resumed_work_counts_what_was_done_but_not_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter("finetune", 1_000_001, "steps") as reporter:
        reporter.resume_at(1_000_000)
        reporter.step(0)
        reporter.step(1)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("finetune: 1000000/1000001 steps, 0.0/s, nan s left")
    assert second.endswith(" 0 s left")


def test_it_is_quiet_until_then(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter("pretrain", 10, "steps") as reporter:
        for _ in range(10):
            reporter.step(note="loss 1.0")
    assert capsys.readouterr() == ("", "")


def shows_a_bar(capsys: pytest.CaptureFixture[str]) -> bool:
    with Reporter("pretrain", 2, "steps") as reporter:
        reporter.step(2)
    return "2/2" in capsys.readouterr().err


def test_a_bar_needs_a_terminal_of_its_own(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENGINE_VARIABLE, raising=False)
    assert not shows_a_bar(capsys)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert shows_a_bar(capsys)
    monkeypatch.setenv(ENGINE_VARIABLE, "1")
    assert not shows_a_bar(capsys)
