"""Options of how plasticity is measured."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, field_validator

from raylot.config.naming import NamingOptions
from raylot.config.options import OneOf, Options, option, parse_list
from raylot.config.plugin_options import WithPluginOptions

#: Measures that a study leaves out unless it is asked for them.
FurtherMeasure = Literal[
    "duplicates", "saturation", "weight_rank", "churn", "sample_plasticity", "hessian", "trace_ntk"
]


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
        32, "inputs of the probe (at most probe_size) between which the pseudo-NTK is measured; "
        "0: not measured", ge=0, le=4096, off=32, role="measurement",
    )  # fmt: skip
    sharpness_iterations: int = option(
        20, "power iterations towards the largest Hessian eigenvalue; 0: not measured",
        ge=0, le=10_000, off=20, role="measurement",
    )  # fmt: skip
    duplicate_cosine: float = option(
        0.95, "of the measure duplicates: two units are duplicates if the cosine of their "
        "activations on the probe is above this (Joudaki et al. 2025)", ge=0, lt=1, off=0.95,
        role="measurement",
    )  # fmt: skip
    saturation_threshold: float = option(
        1e-4, "of the measure saturation: an example saturates a unit if |gradient of the "
        "example's own loss in the unit's pre-activation| is below this times the pre-activation's "
        "mean magnitude (Joudaki et al. 2025)", gt=0, le=1e6, off=1e-4, role="measurement",
    )  # fmt: skip
    churn_batches: int = option(
        8, "of the measure churn: batches whose training step is tried, each from the snapshot",
        ge=1, le=1000, off=8, role="measurement",
    )  # fmt: skip
    sample_plasticity_examples: int = option(
        64, "of the measure sample_plasticity: examples of the probe (at most probe_size) whose "
        "training step is tried, each from the snapshot", ge=1, le=100_000, off=64,
        role="measurement",
    )  # fmt: skip
    hessian_iterations: int = option(
        40, "of the measure hessian: Lanczos iterations from each start vector; memory is 8 bytes "
        "times live parameters times iterations", ge=1, le=1000, off=40, role="measurement",
    )  # fmt: skip
    hessian_starts: int = option(
        10, "of the measure hessian: start vectors over which its spectrum is averaged",
        ge=1, le=1000, off=10, role="measurement",
    )  # fmt: skip
    hessian_threshold: float = option(
        0.01, "of the measure hessian: eigenvalues count if their magnitude is above this share of "
        "the largest one's", gt=0, lt=1, off=0.01, role="measurement",
    )  # fmt: skip
    trace_ntk_examples: int = option(
        32, "of the measure trace_ntk: inputs of the probe (at most probe_size) between which the "
        "NTK is measured, one gradient per input and output", ge=1, le=4096, off=32,
        role="measurement",
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


class MeasuresOptions(PlasticityOptions, title="plasticity"):
    """Options that say what a study measures of its snapshots, and how."""

    measures: Annotated[tuple[FurtherMeasure, ...] | None, BeforeValidator(parse_list)] = option(
        None, "further measures of every snapshot, each by a run of its own that trains nothing: "
        "duplicate units, saturated units, ranks of weights, churn, sample plasticity, the "
        "Hessian's spectrum, the trace NTK; as duplicates,churn",
        accepts=f"one or more of {', '.join(get_args(FurtherMeasure))}, each once, or none",
        role="measurement",
    )  # fmt: skip

    @field_validator("measures")
    @classmethod
    def _each_further_measure_once(cls, value: Any) -> Any:
        if value is not None and (not value or len(set(value)) < len(value)):
            raise ValueError("none, or one given twice")
        return value


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
