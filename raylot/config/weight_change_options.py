"""Options of methods that change weights beside the optimizer, in steps or between tasks."""

from __future__ import annotations

from typing import Literal

from raylot.config.options import Options, option


class ShrinkAndPerturb(Options):
    """Options of ``shrink_and_perturb``."""

    shrink: float = option(
        0.8, "factor by which weights shrink", ge=0, le=1, off=0.8,
        role="training", drawn="uniform(0.3,1)",
    )  # fmt: skip
    perturb: float = option(
        0.1, "share of a fresh initialisation that is then added", ge=0, le=100, off=0.1,
        role="training", drawn="loguniform(1e-3,1)",
    )  # fmt: skip
    perturb_every: Literal["task", "step"] = option(
        "task", "after each task, or after each training step", off="task",
        role="training",
    )  # fmt: skip


#: Method -> the models of its options.
WEIGHT_CHANGES: dict[str, tuple[type[Options], ...]] = {
    "shrink_and_perturb": (ShrinkAndPerturb,),
}


class WeightChangeParameters(ShrinkAndPerturb):
    """How strongly weights are changed."""
