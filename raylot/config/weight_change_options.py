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
        0.1, "factor of what perturb_with names, which is then added", ge=0, le=100, off=0.1,
        role="training", drawn="loguniform(1e-3,1)",
    )  # fmt: skip
    perturb_every: Literal["task", "step"] = option(
        "task", "after each task, or after each training step", off="task",
        role="training",
    )  # fmt: skip
    perturb_with: Literal["fresh", "initial", "noise"] = option(
        "fresh", "what is added: a fresh initialisation, the stream's initial weights, or normal "
        "noise with standard deviation 1", off="fresh", role="training",
    )  # fmt: skip


class GradientNoise(Options):
    """Options of ``pgd`` and ``upgd``."""

    gradient_noise: float = option(
        0.1, "standard deviation of the normal noise that is added to each gradient", ge=0, le=1e6,
        off=0.1, role="training", drawn="loguniform(1e-3,1)",
    )  # fmt: skip


class UPGD(GradientNoise):
    """Options of ``upgd``."""

    utility_decay: float = option(
        0.9999, "share that a weight's running mean utility keeps in each step", ge=0, lt=1,
        off=0.9999, role="training", drawn="choice(0.99,0.999,0.9999)",
    )  # fmt: skip
    protect: bool = option(
        True, "whether useful weights are kept from the gradient too, and not only from its noise",
        off=True, role="training",
    )  # fmt: skip


class DASH(Options):
    """Options of ``dash``."""

    dash_rate: float = option(
        0.3, "share of each new gradient in their running mean", gt=0, le=1, off=0.3,
        role="training", drawn="choice(0.1,0.3)",
    )  # fmt: skip
    dash_shrink: float = option(
        0.3, "smallest factor by which weights shrink", ge=0, le=1, off=0.3, role="training",
        drawn="choice(0.05,0.1,0.3)",
    )  # fmt: skip


class HareAndTortoise(Options):
    """Options of ``hare_and_tortoise``."""

    tortoise_decay: float = option(
        0.999, "share that the slow mean of the weights keeps in each step", ge=0, lt=1, off=0.999,
        role="training", drawn="choice(0.9,0.99,0.999)",
    )  # fmt: skip
    hare_interval: int = option(
        2000, "training steps of the stream after which the weights return to that mean", ge=1,
        le=1_000_000_000, off=2000, role="training", drawn="choice(200,500,2000)",
    )  # fmt: skip


class LayerReset(Options):
    """Options of ``layer_reset``."""

    reset_layers: int = option(
        1, "last layers that start anew for each task", ge=1, le=1000, off=1, role="training",
        drawn="choice(1,2)",
    )  # fmt: skip


class PlasticityInjection(Options):
    """Options of ``plasticity_injection``."""

    inject_after: int = option(
        10, "tasks after which a fresh network is added", ge=1, le=1_000_000, off=10,
        role="training", drawn="choice(1,5,10)",
    )  # fmt: skip


class InSteps(ShrinkAndPerturb, UPGD, HareAndTortoise):
    """Options of methods that can act in each step."""


class FreshLayers(LayerReset, PlasticityInjection):
    """Options of methods that take up fresh weights between tasks."""


class BetweenTasks(DASH, FreshLayers):
    """Options of methods that act between tasks alone."""


#: Method -> the models of its options.
WEIGHT_CHANGES: dict[str, tuple[type[Options], ...]] = {
    "shrink_and_perturb": (ShrinkAndPerturb,),
    "pgd": (GradientNoise,),
    "upgd": (UPGD,),
    "dash": (DASH,),
    "hare_and_tortoise": (HareAndTortoise,),
    "layer_reset": (LayerReset,),
    "plasticity_injection": (PlasticityInjection,),
}


class WeightChangeParameters(InSteps, BetweenTasks):
    """How strongly weights are changed."""
