"""Options of methods that give some hidden units fresh weights."""

from __future__ import annotations

from raylot.config.options import Options, option


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
UNIT_RESETS: dict[str, tuple[type[Options], ...]] = {
    "redo": (ReDo,),
}


class UnitResetParameters(ReDo):
    """How often, and which, units start anew."""
