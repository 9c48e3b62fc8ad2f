"""Options that choose a method to keep plasticity, and those that some methods have."""

from __future__ import annotations

from typing import Annotated, Literal

from raylot.config.naming import NamingOptions
from raylot.config.options import OneOf, Options, option


class L2(Options):
    """Options of ``l2`` and ``l2_init``."""

    l2_strength: float = option(
        1e-4, "factor of the sum of squares that is added to the loss (without 1/2)",
        ge=0, le=100, off=1e-4, role="training", drawn="loguniform(1e-7,1e-1)",
    )  # fmt: skip


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


class ReDo(Options):
    """Options of ``redo``."""

    redo_threshold: float = option(
        0.025, "a unit is reset if its mean |activation| is at most this share of its layer's mean",
        ge=0, le=1, off=0.025, role="training", drawn="uniform(0,0.2)",
    )  # fmt: skip
    redo_interval: int = option(
        100, "training steps between resets", ge=1, le=1_000_000_000, off=100,
        role="training", drawn="choice(20,50,100)",
    )  # fmt: skip


#: Method -> the models of its options.
DECLARED: dict[str, tuple[type[Options], ...]] = {
    "l2": (L2,),
    "l2_init": (L2,),
    "shrink_and_perturb": (ShrinkAndPerturb,),
    "redo": (ReDo,),
}


class InterventionParameters(L2, ShrinkAndPerturb, ReDo, title="interventions"):
    """How strongly a method acts."""


class InterventionOptions(InterventionParameters, NamingOptions):
    """Options that choose a method to keep plasticity."""

    intervention: Annotated[str, OneOf("intervention")] = option(
        "none", "method that is meant to keep plasticity", compared=True, off="none",
        role="training",
    )  # fmt: skip
