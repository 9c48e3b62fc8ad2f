"""What the trials share that train pairs of networks, and look along the line between the two."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from raylot.foundation.randomness import RandomKey
from raylot.plasticity.connectivity import ERRORS, barriers, errors_along, why_not_interpolated
from raylot.tasks import Task
from raylot.trials.base import RunTrial

#: Stands for what cannot be measured.
_NOTHING = dict.fromkeys([*ERRORS, *(f"{name}_barrier" for name in ERRORS)], math.nan)


def barrier_row(
    trial: RunTrial, a: nn.Module, b: nn.Module, task: Task, points: int
) -> dict[str, Any]:
    """Returns the errors of two trained networks and the barriers between them.

    Args:
        trial: of the pair; it notes what cannot be measured, and why.
        a: one network.
        b: the other.
        task: on which they were trained.
        points: networks on the line between them; 2: only the two, whose barrier is half the
            difference of their errors.
    """
    absent = dict.fromkeys(("test_error", "test_error_barrier")) if task.is_regression else {}
    if reason := why_not_interpolated(a, b):
        trial.note(f"barriers: NaN where two networks cannot be interpolated, as {reason}")
        return _NOTHING | absent
    key = RandomKey((trial.run.seed, "barrier"))
    along = errors_along(a, b, task, points=points, key=key, batch_size=trial.run.batch_size)
    return barriers(along) | absent
