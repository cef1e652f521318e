"""Lee 2013's ramp by hand."""

import pytest

from polydx.semi.ramps import pseudo_weight


@pytest.mark.parametrize(
    ("progress", "weight"), [(0.0, 0.0), (0.19, 0.0), (0.2, 0.0), (0.3, 0.75), (0.4, 1.5), (0.6, 3.0), (1.0, 3.0)]
)
def test_ramp_by_hand(progress: float, weight: float) -> None:
    assert pseudo_weight(progress, start=0.2, end=0.6, final=3.0) == pytest.approx(weight)


def test_a_ramp_without_length_is_a_step() -> None:
    assert pseudo_weight(0.0, start=0.0, end=0.0, final=1.0) == 1.0
    assert [pseudo_weight(at, start=0.5, end=0.5, final=2.0) for at in (0.49, 0.5)] == [0.0, 2.0]
