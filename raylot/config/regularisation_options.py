"""Options of methods that add a term to the loss, or that keep weights within limits."""

from __future__ import annotations

from raylot.config.options import Options, option


class L2(Options):
    """Options of ``l2``, ``l2_init`` and ``resampled_init``."""

    l2_strength: float = option(
        1e-4, "factor of the sum of squares that is added to the loss (without 1/2)",
        ge=0, le=100, off=1e-4, role="training", drawn="loguniform(1e-7,1e-1)",
    )  # fmt: skip


class L1Init(Options):
    """Options of ``l1_init``."""

    l1_strength: float = option(
        1e-4, "factor of the sum of absolute distances that is added to the loss",
        ge=0, le=100, off=1e-4, role="training", drawn="loguniform(1e-5,1e-2)",
    )  # fmt: skip


class HuberInit(Options):
    """Options of ``huber_init``."""

    huber_strength: float = option(
        1e-4, "factor of the sum of Huber losses of distances that is added to the loss",
        ge=0, le=100, off=1e-4, role="training", drawn="loguniform(1e-5,1e-2)",
    )  # fmt: skip


class WassersteinInit(Options):
    """Options of ``wasserstein_init``."""

    wasserstein_strength: float = option(
        1e-2, "factor of the squared Wasserstein distances that are added to the loss",
        ge=0, le=1e6, off=1e-2, role="training", drawn="loguniform(1e-4,1e-1)",
    )  # fmt: skip


class WeightClipping(Options):
    """Options of ``weight_clipping``."""

    clip_factor: float = option(
        1.0, "weights stay within this many times 1 / sqrt(fan-in)",
        gt=0, le=1000, off=1.0, role="training", drawn="uniform(1,5)",
    )  # fmt: skip


class Parseval(Options):
    """Options of ``parseval``."""

    parseval_strength: float = option(
        1e-3, "factor of the squared distances from orthogonal rows that are added to the loss",
        ge=0, le=100, off=1e-3, role="training", drawn="loguniform(1e-5,1e-3)",
    )  # fmt: skip
    parseval_scale: float = option(
        2.0, "squared length that each row of a weight matrix is drawn to",
        gt=0, le=1000, off=2.0, role="training", drawn="choice(1,2)",
    )  # fmt: skip


class Spectral(Options):
    """Options of ``spectral``."""

    spectral_strength: float = option(
        1e-4, "factor of the distances of spectral norms from 1 that are added to the loss",
        ge=0, le=100, off=1e-4, role="training", drawn="loguniform(1e-5,1e-2)",
    )  # fmt: skip
    spectral_exponent: int = option(
        2, "power of the spectral norm that is drawn to 1",
        ge=1, le=10, off=2, role="training",
    )  # fmt: skip


class CChain(Options):
    """Options of ``c_chain``."""

    churn_share: float = option(
        0.05, "share of the loss at which the penalty on changed outputs is kept",
        ge=0, le=1e6, off=0.05, role="training", drawn="loguniform(1e-3,1)",
    )  # fmt: skip


#: Method -> the models of its options.
REGULARISERS: dict[str, tuple[type[Options], ...]] = {
    "l2": (L2,),
    "l2_init": (L2,),
    "l1_init": (L1Init,),
    "huber_init": (HuberInit,),
    "resampled_init": (L2,),
    "wasserstein_init": (WassersteinInit,),
    "weight_clipping": (WeightClipping,),
    "parseval": (Parseval,),
    "spectral": (Spectral,),
    "c_chain": (CChain,),
}


class RegularisationParameters(
    L2, L1Init, HuberInit, WassersteinInit, WeightClipping, Parseval, Spectral, CChain
):
    """How strongly a term of the loss acts, and within which limits weights stay."""
