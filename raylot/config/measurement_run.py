"""The runs that measure the snapshots of a stream, and which of them a study needs."""

from __future__ import annotations

import functools
from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import model_validator

from raylot.config import plugin_options
from raylot.config.options import option
from raylot.config.plasticity_options import FurtherMeasure, MeasuresOptions, PlasticityOptions
from raylot.config.plugin_options import WithPluginOptions
from raylot.config.runs import (
    KINDS_OF_CONCEPTS,
    RunOnSnapshots,
    StreamRun,
    short_hash,
)
from raylot.foundation import registry

Measured = Literal["weights", "structure", "dormant", "sharpness", "ntk", "metric", FurtherMeasure]

#: What is measured, each of it by a run of its own -> the options that decide how. A plugin's
#: metric may read ``probe_size`` and ``dormant_threshold``.
MEASURED_WITH: dict[str, tuple[str, ...]] = {
    "weights": (),
    "structure": ("probe_size",),
    "dormant": ("probe_size", "dormant_threshold"),
    "sharpness": ("probe_size", "sharpness_iterations"),
    "ntk": ("ntk_examples",),
    "metric": ("probe_size", "dormant_threshold", "metrics"),
    "duplicates": ("probe_size", "duplicate_cosine"),
    "saturation": ("probe_size", "saturation_threshold"),
    "weight_rank": (),
    "churn": ("probe_size", "churn_batches"),
    "sample_plasticity": ("sample_plasticity_examples",),
    "hessian": ("probe_size", "hessian_iterations", "hessian_starts", "hessian_threshold"),
    "trace_ntk": ("trace_ntk_examples",),
}

#: What is measured on the first examples of the probe -> the option that says how many. It needs no
#: larger probe than these.
_EXAMPLES = {
    "ntk": "ntk_examples",
    "sample_plasticity": "sample_plasticity_examples",
    "trace_ntk": "trace_ntk_examples",
}

_PLASTICITY = PlasticityOptions.model_fields.keys() - WithPluginOptions.model_fields.keys()

#: Values at which these options measure nothing.
_NOTHING = {
    "ntk_examples": 0,
    "sharpness_iterations": 0,
    "metrics": None,
}


class MeasuringRun(RunOnSnapshots, PlasticityOptions):
    """One measurement of all snapshots of a stream or ticket stream.

    Each is a run of its own: to measure something else later touches nothing that is there.
    """

    measured: Measured = option(
        "structure", "weights; activations and gradients (structure); dormant units; the "
        "sharpness; the pseudo-NTK; a plugin's metric; or a further measure", role="measurement",
    )  # fmt: skip

    @model_validator(mode="after")
    def _probe_is_no_larger_than_its_split(self) -> Self:
        self.__dict__["probe_size"] = min(self.probe_size, self.facts.training_examples)
        return self

    @model_validator(mode="after")
    def _other_options_do_nothing(self) -> Self:
        examples = _EXAMPLES.get(self.measured)
        if examples:
            self.__dict__[examples] = min(getattr(self, examples), self.probe_size)
        for name in _PLASTICITY - {*MEASURED_WITH[self.measured]}:
            default = PlasticityOptions.model_fields[name].default
            self.__dict__[name] = _NOTHING.get(name, default)
        if examples:
            self.__dict__["probe_size"] = max(getattr(self, examples), 2)
        if not self.metrics:
            for name in ("plugins", "plugin_options"):
                self.__dict__[name] = registry.without(getattr(self, name), {"metric"})
        return self

    @functools.cached_property
    def run_id(self) -> str:
        own = self.identity(self._own_options)
        for name in ("plugins", "plugin_options", "versions"):
            if used := registry.without(getattr(self, name), {*KINDS_OF_CONCEPTS, "search"}):
                own[name] = used
        return short_hash({"kind": self.kind, "stream": self.learner.run_id, **own})

    @property
    def _own_options(self) -> set[str]:
        return {"measured", *MEASURED_WITH[self.measured]}

    @property
    def _metric(self) -> list[tuple[str, str]]:
        return [("metric", name) for name in self.metrics or ()]

    @property
    def setting(self) -> str:
        """The options that decide what a value means, and a plugin's code: ``probe_size=512``."""
        named = [n for n in MEASURED_WITH[self.measured] if n != "metrics"]  # which its name says
        values = [f"{name}={getattr(self, name)}" for name in named]
        of_metric = plugin_options.parsed(registry.only(self.plugin_options, self._metric))
        for own in of_metric.values():
            values += [f"{name}={plugin_options.value_text(value)}" for name, value in own.items()]
        code = registry.listed(self.plugins)
        values += [f"code={of}" for (kind, _), of in code.items() if kind == "metric"]
        return ", ".join(values)

    @property
    def unused_options(self) -> set[str]:
        unused = super().unused_options | {f"{self.prefix}tasks"}
        others = _PLASTICITY - self._own_options
        return (unused | others) - self.growing

    @property
    def training_steps(self) -> int:
        return 0

    @property
    def label(self) -> str:
        what = self.metrics[0] if self.metrics else self.measured.replace("_", " ")
        return f"{super().label} {what}"


class MeasurementRun(MeasuringRun):
    """One measurement of all snapshots of a stream."""

    kind: ClassVar[str] = "measurement"
    growing: ClassVar[frozenset[str]] = frozenset({"snapshots"})


AnyMeasuring = TypeVar("AnyMeasuring", bound=MeasuringRun)


def measurements(
    model: type[AnyMeasuring], learner: StreamRun, options: MeasuresOptions
) -> list[AnyMeasuring]:
    """Returns the runs that measure the snapshots of a stream or ticket stream as options say.

    Args:
        model: of these runs.
        learner: the stream or ticket stream.
        options: of the study.

    Raises:
        OptionError: the options do not fit the stream.
    """
    chosen = {name: getattr(options, name) for name in _PLASTICITY}
    of_learner = learner.model_dump(exclude={"plugins"})
    of_learner["plugin_options"] = plugin_options.joined(
        options.plugin_options, learner.plugin_options
    )
    which: list[dict[str, Any]] = [{"measured": one} for one in ("weights", "structure", "dormant")]
    which += [{"measured": "sharpness"}] if options.sharpness_iterations else []
    which += [{"measured": "ntk"}] if options.ntk_examples else []
    which += [{"measured": one} for one in options.measures or ()]
    which += [{"measured": "metric", "metrics": (name,)} for name in options.metrics or ()]
    runs = [model.checked(**{**of_learner, **chosen, **one}) for one in which]
    for run in runs:
        # So that their identities are computed once for all.
        run.__dict__ |= {"learner": learner, "stream": learner.stream}
    return runs
