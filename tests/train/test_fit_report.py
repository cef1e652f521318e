import time

import numpy as np
import pytest

from polydx.train.fit_report import StepClock, speeds


def test_the_clock_leaves_out_its_pauses_and_never_stands_at_0(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    clock = StepClock()
    assert 0 < clock.seconds() < 1e-3
    now = 103.0
    with clock.paused():
        now = 110.0
    now = 112.0
    with clock.paused():
        now = 113.0
    assert clock.seconds() == 5.0


def test_speeds_are_of_the_steps_that_were_done() -> None:
    steps = [np.array([0, 2]), np.array([1])]
    assert speeds(np.array([4, 6, 8, 100]), steps, seconds=2.0) == (1.5, 9.0)
