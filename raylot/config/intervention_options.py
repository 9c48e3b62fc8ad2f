"""Options that choose a method to keep plasticity, and those that some methods have."""

from __future__ import annotations

from typing import Annotated

from raylot.config.naming import NamingOptions
from raylot.config.options import OneOf, Options, option
from raylot.config.regularisation_options import REGULARISERS, RegularisationParameters
from raylot.config.unit_reset_options import UNIT_RESETS, UnitResetParameters
from raylot.config.weight_change_options import WEIGHT_CHANGES, WeightChangeParameters

#: Method -> the models of its options.
DECLARED: dict[str, tuple[type[Options], ...]] = {
    **REGULARISERS,
    **WEIGHT_CHANGES,
    **UNIT_RESETS,
}


class InterventionParameters(
    RegularisationParameters, WeightChangeParameters, UnitResetParameters, title="interventions"
):
    """How strongly a method acts."""


class InterventionOptions(InterventionParameters, NamingOptions):
    """Options that choose a method to keep plasticity."""

    intervention: Annotated[str, OneOf("intervention")] = option(
        "none", "method that is meant to keep plasticity", compared=True, off="none",
        role="training",
    )  # fmt: skip
