"""Learning-rate schedules over one training."""

from __future__ import annotations

import math
from collections.abc import Callable

from raylot.config import OptimizerOptions


def rate_factor(options: OptimizerOptions, steps: int) -> Callable[[int], float] | None:
    """Returns the factor of ``lr`` as a function of the steps taken; None if it is always 1.

    Over the first ``warmup`` of the steps, w in number, step k (from 0) has the factor (k + 1) / w.
    The schedule follows: ``cosine`` takes (1 + cos(pi j / n)) / 2 at step j of the n steps left
    (Loshchilov & Hutter 2017, without restarts); ``step`` multiplies by ``step_factor`` after each
    share ``step_at`` of all steps, warm-up included. So factors lie in (0, 1].

    Args:
        options: which schedule, and its parameters.
        steps: of the whole training, even if it is going to stop early.
    """
    rising = round(options.warmup * steps)
    if options.schedule == "constant" and not rising:
        return None
    places = []
    if options.schedule == "step":
        places = [round(share * steps) for share in options.step_at]

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        if options.schedule == "cosine":
            return (1 + math.cos(math.pi * (step - rising) / (steps - rising))) / 2
        passed = sum(place <= step for place in places)
        return options.step_factor**passed if passed else 1.0

    return factor
