"""The run that measures the snapshots of a stream, and which of them a study needs."""

from __future__ import annotations

import functools
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from raylot.config.concepts import (
    MEASURED_WITH,
    PlasticityOptions,
    measured_alone,
    unused_parameters,
)
from raylot.config.options import option
from raylot.config.runs import (
    KINDS_OF_CONCEPTS,
    TRAINING_EXAMPLES,
    RunOnStream,
    StreamRun,
    short_hash,
)
from raylot.foundation import registry

Measured = Literal["structure", "sharpness", "ntk", "metric", "fresh_network"]

#: Options of a measurement that say what is measured, which the name of its metric says too.
_SAY_WHAT = {"metrics", "trainability_gap"}


class MeasurementRun(RunOnStream, PlasticityOptions):
    """One measurement of all snapshots of a stream.

    Each is a run of its own: to measure something else later touches nothing that is there.
    """

    kind: ClassVar[str] = "measurement"
    growing: ClassVar[frozenset[str]] = frozenset({"snapshots"})

    measured: Measured = option(
        "structure", "activations, weights and gradients; the sharpness; the empirical NTK; a "
        "plugin's metric; or how a fresh network learns the snapshots' tasks", role="measurement",
    )  # fmt: skip

    @model_validator(mode="after")
    def _other_options_do_nothing(self) -> Self:
        self.__dict__.update(measured_alone(self.measured))
        if not self.metrics:
            self.__dict__["plugins"] = registry.without(self.plugins, {"metric"})
        return self

    @model_validator(mode="after")
    def _probe_fits(self) -> Self:
        check_probe(self.probe_size, self.dataset)
        return self

    @functools.cached_property
    def run_id(self) -> str:
        own = {n: v for n, v in self.identity().items() if n in self._own_options}
        for name in ("plugins", "versions"):
            if used := registry.without(getattr(self, name), {*KINDS_OF_CONCEPTS}):
                own[name] = used
        return short_hash({"kind": self.kind, "stream": self.stream.run_id, **own})

    @property
    def _own_options(self) -> set[str]:
        return {"measured", *MEASURED_WITH[self.measured]}

    @property
    def setting(self) -> str:
        """The options that decide what a value means, and a plugin's code: ``probe_size=512``."""
        named = [n for n in MEASURED_WITH[self.measured] if n not in _SAY_WHAT]
        values = [f"{name}={getattr(self, name)}" for name in named]
        code = registry.listed(self.plugins)
        values += [f"code={of}" for (kind, _), of in code.items() if kind == "metric"]
        return ", ".join(values)

    @property
    def parent(self) -> StreamRun:
        """The stream, as far as this run needs it."""
        last = max(self.snapshots)
        return self.stream.model_copy(update={"tasks": last + 1, "snapshots": self.snapshots})

    @property
    def unused_options(self) -> set[str]:
        unused = {*unused_parameters(self.__dict__), "tasks"}
        return unused | PlasticityOptions.model_fields.keys() - self._own_options

    @property
    def training_steps(self) -> int:
        """Training steps of the fresh networks."""
        return len(self.snapshots) * self.trainability_gap * self.training_steps_per_task

    @property
    def label(self) -> str:
        what = self.metrics[0] if self.metrics else self.measured.replace("_", " ")
        return f"{super().label} {what}"


def measurements(stream: StreamRun, options: PlasticityOptions) -> list[MeasurementRun]:
    """Returns the runs that measure a stream's snapshots as options say.

    Raises:
        OptionError: the options do not fit the stream.
    """
    chosen = {name: getattr(options, name) for name in PlasticityOptions.model_fields}
    of_stream = stream.model_dump(exclude={"plugins"})
    which: list[dict[str, Any]] = [{"measured": "structure"}]
    which += [{"measured": "sharpness"}] if options.sharpness_iterations else []
    which += [{"measured": "ntk"}] if options.ntk_examples else []
    which += [{"measured": "fresh_network"}] if options.trainability_gap else []
    which += [{"measured": "metric", "metrics": (name,)} for name in options.metrics or ()]
    return [MeasurementRun.checked(**{**of_stream, **chosen, **one}) for one in which]


def check_probe(probe_size: int, dataset: str) -> None:
    """Raises ValueError if a data set has fewer training inputs than a probe shall hold."""
    examples = TRAINING_EXAMPLES[dataset]
    if probe_size > examples:
        raise ValueError(
            f"probe_size={probe_size}: must be at most {examples}, the training examples of "
            f"{dataset}"
        )
