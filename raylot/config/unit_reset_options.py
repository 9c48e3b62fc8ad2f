"""Options of methods that give some hidden units fresh weights."""

from __future__ import annotations

from typing import Literal

from raylot.config.options import Options, option


class ReDo(Options):
    """Options of ``redo``."""

    redo_threshold: float = option(
        0.025, "a unit is reset if its mean |activation| is at most this share of its layer's mean",
        ge=0, le=1, off=0.025, role="training", drawn="choice(0,0.01,0.025,0.1,0.5)",
    )  # fmt: skip
    redo_interval: int = option(
        100, "training steps between resets", ge=1, le=1_000_000_000, off=100,
        role="training", drawn="choice(20,50,100)",
    )  # fmt: skip
    redo_examples: int = option(
        256, "training examples, drawn anew for each reset, on which activations are measured; "
        "at most the training split", ge=1, le=1_000_000, off=256, role="training",
    )  # fmt: skip


class ContinualBackprop(Options):
    """Options of ``cbp``."""

    cbp_rate: float = option(
        1e-4, "share of each layer's mature units that are replaced per training step",
        ge=0, le=1, off=1e-4, role="training", drawn="loguniform(1e-6,1e-3)",
    )  # fmt: skip
    cbp_maturity: int = option(
        100, "training steps during which a new unit is not replaced",
        ge=0, le=1_000_000_000, off=100, role="training", drawn="choice(100,1000)",
    )  # fmt: skip
    cbp_decay: float = option(
        0.99, "decay per training step of the running means of utility and activation",
        ge=0, lt=1, off=0.99, role="training",
    )  # fmt: skip
    cbp_utility: Literal["adaptable_contribution", "contribution"] = option(
        "adaptable_contribution", "utility of a unit: its activation, less its running mean, times "
        "its outgoing weights and divided by its incoming ones; or activation times outgoing "
        "weights", off="adaptable_contribution", role="training",
    )  # fmt: skip


class SelfNormalisedResets(Options):
    """Options of ``snr``."""

    snr_quantile: float = option(
        0.99, "quantile of the ages at which a unit fires or is reset, which becomes its threshold",
        gt=0, lt=1, off=0.99, role="training", drawn="uniform(0.9,0.99)",
    )  # fmt: skip
    snr_every: int = option(
        16, "tasks after which thresholds are set anew", ge=1, le=1_000_000, off=16,
        role="training", drawn="choice(1,4,16)",
    )  # fmt: skip
    snr_max_age: int = option(
        20_000, "largest threshold, in training examples; units begin with half of it",
        ge=1, le=1_000_000_000, off=20_000, role="training",
    )  # fmt: skip


#: Method -> the models of its options.
UNIT_RESETS: dict[str, tuple[type[Options], ...]] = {
    "redo": (ReDo,),
    "cbp": (ContinualBackprop,),
    "snr": (SelfNormalisedResets,),
}


class UnitResetParameters(ReDo, ContinualBackprop, SelfNormalisedResets):
    """How often, and which, units start anew."""
