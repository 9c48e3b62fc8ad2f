"""Options of methods that add a term to the loss."""

from __future__ import annotations

from raylot.config.options import Options, option


class L2(Options):
    """Options of ``l2`` and ``l2_init``."""

    l2_strength: float = option(
        1e-4, "factor of the sum of squares that is added to the loss (without 1/2)",
        ge=0, le=100, off=1e-4, role="training", drawn="loguniform(1e-7,1e-1)",
    )  # fmt: skip


#: Method -> the models of its options.
REGULARISERS: dict[str, tuple[type[Options], ...]] = {
    "l2": (L2,),
    "l2_init": (L2,),
}


class RegularisationParameters(L2):
    """How strongly a term of the loss acts."""
