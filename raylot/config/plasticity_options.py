"""Options of how plasticity is measured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, field_validator

from raylot.config.naming import NamingOptions
from raylot.config.options import OneOf, Options, option, parse_list
from raylot.config.plugin_options import WithPluginOptions


class ProbeOptions(WithPluginOptions):
    """How the units of a snapshot are observed: what metrics of plugins may depend on."""

    probe_size: int = option(
        512, "training inputs of the new task on which activations are measured; all, if there are "
        "no more", ge=2,
        role="measurement",
    )  # fmt: skip
    dormant_threshold: float = option(
        0.025, "tau: a unit is dormant if its mean |activation| is at most this share of "
        "its layer's mean (Sokar et al. 2023)", ge=0, le=1, role="measurement",
    )  # fmt: skip


class PlasticityOptions(NamingOptions, ProbeOptions, title="plasticity"):
    """How a snapshot's plasticity is measured."""

    ntk_examples: int = option(
        32, "inputs of the probe (at most probe_size) between which the empirical NTK is measured; "
        "0: not measured", ge=0, le=4096, off=32, role="measurement",
    )  # fmt: skip
    sharpness_iterations: int = option(
        20, "power iterations towards the largest Hessian eigenvalue; 0: not measured",
        ge=0, le=10_000, off=20, role="measurement",
    )  # fmt: skip
    metrics: Annotated[tuple[str, ...] | None, BeforeValidator(parse_list), OneOf("metric")] = (
        option(
            None, "metrics of plugins, measured beside those built in", off=None, role="measurement"
        )
    )

    @field_validator("metrics")
    @classmethod
    def _each_measured_once(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """Sorted, as their order changes nothing."""
        if value is None:
            return None
        if not value or len(set(value)) < len(value):
            raise ValueError("none, or one given twice")
        return tuple(sorted(value))


class PlasticParameterOptions(Options, title="plastic parameters"):
    """How the most plastic weights are found: those with the largest mean |gradient|."""

    plastic_task: Literal["same", "unshifted"] = option(
        "same", "plastic parameters are measured on the snapshot's task, or (as the original study "
        "did) on the data set itself", off="same", role="measurement",
    )  # fmt: skip
    plastic_scaling: Literal["same", "raw", "unit", "standardize"] = option(
        "same", "scaling of the inputs there; the original study standardised them there only",
        off="same", role="measurement",
    )  # fmt: skip
    plastic_density: Literal["layer", "overall"] = option(
        "layer", "plastic parameters are as many as the ticket's in each layer, or (as in the "
        "original study) its overall share of each layer", off="layer", role="measurement",
    )  # fmt: skip
