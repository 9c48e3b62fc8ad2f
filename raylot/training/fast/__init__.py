"""The fast engine: compiled training of ReLU MLPs on the CPU.

Only this folder knows numba, and imports it when it is needed first. ``reasons`` says which jobs
the engine cannot train, and which it must train step by step. ``kernels`` holds the compiled loops
over whole epochs, ``gradients`` those over single batches, ``propagation`` what both share,
``updates`` the optimizers' steps, ``waiting`` the rows whose steps can wait, ``vectors`` the
innermost loops, ``compilation`` the cache. ``inputs`` lists the nonzero pixels that the loops walk,
``layout`` says where whole epochs find a network's parameters, and ``state`` holds those parameters
with moments and masks. ``engine`` drives whole epochs; single steps are driven by the generic
engine's loop, with the passes of ``steps``.
"""

from __future__ import annotations

import functools
from importlib import import_module

from raylot.foundation.text import one_line
from raylot.training.fast import reasons
from raylot.training.job import TrainingJob, TrainingResult


def why_not(job: TrainingJob) -> str | None:
    """Returns why this engine cannot train a job, for the end of a sentence; None if it can."""
    return reasons.why_not(job) or why_missing()


@functools.cache
def why_missing() -> str | None:
    """Returns why this engine does not work in this process; None if it does."""
    try:
        import_module("raylot.training.fast.engine")
    except Exception as error:  # a broken numba or llvmlite can raise anything
        return f"numba cannot be imported ({type(error).__name__}: {one_line(error)})"
    return None


def train(job: TrainingJob) -> TrainingResult:
    """Trains a job that `why_not` has no reason against."""
    from raylot.training.fast import engine

    return engine.train(job)
