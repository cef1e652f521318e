"""How much rows without labels count as training goes on."""


def pseudo_weight(progress: float, *, start: float, end: float, final: float) -> float:
    """Weight of a pseudo-row (alpha(t) of Lee 2013): 0 before `start`, rising linearly to `final` at `end`.

    Args:
        progress: Share of the training done, in [0, 1].
        start: Share at which the weight leaves zero (T1).
        end: Share from which it stays at `final` (T2); with `end` = `start` it jumps there.
        final: Largest weight (alpha_f).
    """
    if progress < start:
        return 0.0
    if progress >= end:
        return final
    return final * (progress - start) / (end - start)
