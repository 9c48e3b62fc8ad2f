"""The run that trains a stream, and what all runs share: options, identity and cost."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import field_validator, model_validator

from raylot.config import plugin_options
from raylot.config.data_options import DataOptions
from raylot.config.doses import labelled
from raylot.config.intervention_options import InterventionOptions
from raylot.config.naming import names_in, naming_fields
from raylot.config.network_options import PERCEPTRONS, NetworkOptions
from raylot.config.options import Options, is_marked, option, role_of
from raylot.config.parameters import (
    DOSED,
    options_used,
    parameters,
    parameters_used,
    unused_parameters,
)
from raylot.config.shift_options import OF_CLASSES, ShiftOptions
from raylot.config.stream_options import NoteOptions, StreamOptions
from raylot.config.stream_steps import stream_steps
from raylot.config.ticket_options import TicketOptions
from raylot.config.training_options import TrainingOptions
from raylot.datasets import Facts, facts_of
from raylot.foundation import registry
from raylot.foundation.names import BUILT_IN
from raylot.foundation.science import versions_of

#: Options that only judge what a run has found.
VERDICTS = {n for n, f in TicketOptions.model_fields.items() if role_of(f) == "verdict"}

#: Options that name what computes a run: a fix in it raises its version.
KINDS_OF_CONCEPTS = ("dataset", "shift", "network", "intervention", "optimizer", "criterion")

#: The largest seed, as tables hold it: an integer of 64 bits with its sign.
LAST_SEED = 2**63 - 1

#: Shared by all runs, which never ask which of their options were given.
_NOTHING_GIVEN: set[str] = set()

#: Interventions through which a head goes on to act after it was reset, and how.
_KEEPING_OLD_HEADS = {
    "hare_and_tortoise": "whose tortoise keeps the old head",
    "plasticity_injection": "whose frozen networks go on to answer with the old head",
}


def concepts_of(kind: str, options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns what computes a run of a kind, see `raylot.foundation.science.VERSIONS`."""
    used = [(name, str(options[name])) for name in KINDS_OF_CONCEPTS if options.get(name)]
    needs_no_search = kind in ("stream", "measurement", "probes", "retrainings")
    if needs_no_search or options.get("subnetwork") == "dense":
        used = [concept for concept in used if concept[0] != "criterion"]
    else:
        used.append(("search", "tickets"))
    if kind in ("probes", "retrainings", "ticket_barriers"):
        used.append(("measurement", kind))
    if options.get("probe_shift"):
        used.append(("shift", str(options["probe_shift"])))
    is_measurement = kind in ("measurement", "ticket_measurement")
    return [*used, ("measurement", str(options["measured"]))] if is_measurement else used


class SeedOptions(Options):
    """The option that decides every random draw."""

    seed: int = option(
        0, "seed of every random draw", compared=True, ge=0, le=LAST_SEED, role="training"
    )


class StreamRun(
    SeedOptions,
    DataOptions,
    ShiftOptions,
    NetworkOptions,
    InterventionOptions,
    TrainingOptions,
    StreamOptions,
    NoteOptions,
):
    """One network, trained along one stream of tasks."""

    kind: ClassVar[str] = "stream"

    #: Options that say how far the run goes, or how it is judged: no part of its identity.
    growing: ClassVar[frozenset[str]] = frozenset({"tasks", "snapshots"})

    #: What the names of ``tasks`` and ``snapshots`` of the stream that it trains begin with.
    prefix: ClassVar[str] = ""

    plugins: str | None = option(
        None, "what the run uses of plugins, as kind:name:code with a short hash of the plugin's "
        "code; filled in", off=None, role="training",
    )  # fmt: skip
    data_digest: str | None = option(
        None, "short hash of the data of npz, image_folder or a plugin's data set; filled in",
        off=None, role="training",
    )  # fmt: skip
    versions: str | None = option(
        None, "versions of what raylot computes, where a fix has raised them, as kind:name:number; "
        "filled in", off=None, role="training",
    )  # fmt: skip

    @model_validator(mode="after")
    def _versions_are_those_of_this_raylot(self) -> Self:
        self.__dict__["versions"] = versions_of(concepts_of(self.kind, self.__dict__))
        return self

    @model_validator(mode="after")
    def _which_options_were_given_is_forgotten(self) -> Self:
        """A set of a hundred names would take more memory than all else that a run is."""
        object.__setattr__(self, "__pydantic_fields_set__", _NOTHING_GIVEN)
        return self

    @model_validator(mode="after")
    def _unused_parameters_do_nothing(self) -> Self:
        """Puts parameters that the run does not use at their defaults.

        So nothing can depend on them, and runs that differ in them alone are one run.
        """
        self.__dict__.update(unused_parameters(self.__dict__))
        return self

    @model_validator(mode="after")
    def _options_of_plugins_are_those_in_use(self) -> Self:
        """Leaves out those of what the run does not use, and fills in those that are not given.

        A shift that makes probe tasks does so at its defaults.
        """
        used = {
            (kind, word)
            for name, _, kind in naming_fields(type(self))
            if name != "probe_shift"
            for word in names_in(getattr(self, name))
        }
        self.__dict__["plugin_options"] = plugin_options.in_use(self.plugin_options, used)
        return self

    @model_validator(mode="after")
    def _data_are_those_of_before(self) -> Self:
        if self.data_digest not in (None, self.facts.digest):
            raise ValueError(
                f"data_digest={self.data_digest}: must be that of the data of {self.dataset}, "
                f"which have changed since and are {self.facts.digest} now"
            )
        self.__dict__["data_digest"] = self.facts.digest
        return self

    @field_validator("plugins")
    @classmethod
    def _code_of_plugins(cls, value: str | None, info: Any) -> str | None:
        if value is not None:
            return value
        fields = naming_fields(cls)
        used = [(kind, word) for name, _, kind in fields for word in names_in(info.data.get(name))]
        return registry.code_of(list(dict.fromkeys(used)))  # probe tasks may be of the same shift

    @model_validator(mode="after")
    def _pixels_are_permuted(self) -> Self:
        pixels = self.facts.pixels
        if self.shift == "permuted_pixels" and round(self.fraction * pixels) < 2:
            raise ValueError(
                f"fraction={self.fraction:g}: must be at least {1.5 / pixels:.2g}, so that 2 of "
                f"the {pixels} pixels of {self.dataset} change places"
            )
        return self

    @model_validator(mode="after")
    def _data_set_has_what_tasks_and_network_need(self) -> Self:
        self._check_shift("shift", self.shift)
        if self.shift == "class_split":
            self._check_classes("classes_per_task", self.classes_per_task)
        if self.shift == "class_incremental" and 2 * self.classes_per_task > self.facts.classes:
            raise ValueError(
                f"classes_per_task={self.classes_per_task}: must be at most "
                f"{self.facts.classes // 2} with shift class_incremental, half of the classes of "
                f"{self.dataset}, so that they can grow"
            )
        fewest = self._fewest_examples(self.shift, self.classes_per_task)
        if self.shift == "warm_start" and fewest < self.facts.classes:
            raise ValueError(
                f"warm_share={self.warm_share:g}: must be at least "
                f"{self.facts.classes / self.facts.training_examples:.4g}, so that task 0 has as "
                f"many examples as {self.dataset} has classes, {self.facts.classes}"
            )
        if self.shift == "bit_flipping" and self.flipping_bits > self.facts.shape[0]:
            raise ValueError(
                f"flipping_bits={self.flipping_bits}: must be at most {self.facts.shape[0]}, the "
                f"bits of an input of {self.dataset}"
            )
        needs_images = self.network in BUILT_IN["network"] and self.network not in PERCEPTRONS
        if needs_images and len(self.facts.shape) != 3:
            raise ValueError(
                f"network={self.network}: must be {' or '.join(PERCEPTRONS)} for inputs of shape "
                f"{self.facts.shape}; {self.network} accepts images, (channels, height, width)"
            )
        return self

    @model_validator(mode="after")
    def _patches_and_heads_fit(self) -> Self:
        if self.network != "vit":
            return self
        height, width = self.facts.shape[1:]
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(
                f"patch_size={self.patch_size}: must divide the sides of the images of "
                f"{self.dataset}, {height} and {width}"
            )
        if self.vit_dimension % self.vit_heads:
            raise ValueError(
                f"vit_heads={self.vit_heads}: must divide vit_dimension, which is "
                f"{self.vit_dimension}"
            )
        return self

    @model_validator(mode="after")
    def _augmented_data_are_images(self) -> Self:
        sides = self.facts.shape[-2:]
        if self.augment != "none" and len(sides) < 2:
            raise ValueError(
                f"augment={self.augment}: must be none for inputs of shape {self.facts.shape}; "
                "others accept images, (..., height, width)"
            )
        if "crop" in self.augment and self.crop_padding > min(sides):
            raise ValueError(
                f"crop_padding={self.crop_padding}: must be at most {min(sides)}, the smaller side "
                f"of the images of {self.dataset}"
            )
        return self

    @model_validator(mode="after")
    def _smoothed_labels_are_classes(self) -> Self:
        if self.label_smoothing and self.facts.is_regression:
            raise ValueError(
                f"label_smoothing={self.label_smoothing:g}: must be 0 with dataset {self.dataset}, "
                "which is regression"
            )
        return self

    def _check_shift(self, option: str, shift: str | None) -> None:
        if shift in OF_CLASSES and self.facts.is_regression:
            raise ValueError(
                f"{option}={shift}: must be another shift for dataset {self.dataset}, which is "
                "regression and has no classes"
            )
        if shift == "bit_flipping" and self.dataset != "slowly_changing_regression":
            raise ValueError(
                f"{option}={shift}: must be another shift for dataset {self.dataset}; bit_flipping "
                "goes with slowly_changing_regression"
            )
        if shift == "rotation" and len(self.facts.shape) < 2:
            raise ValueError(
                f"{option}={shift}: must be another shift for inputs of shape {self.facts.shape}; "
                "rotation accepts images, (..., height, width)"
            )

    def _check_classes(self, option: str, asked: int | None) -> None:
        if (asked or 0) > self.facts.classes:
            raise ValueError(
                f"{option}={asked}: must be at most {self.facts.classes}, the classes of "
                f"{self.dataset}"
            )

    @property
    def _has_running_statistics(self) -> bool:
        """Whether a network that is built in has batch normalisation."""
        is_used = "norm" in parameters_used("network", self.network)
        return self.norm == "batch" and is_used and self.network in BUILT_IN["network"]

    @model_validator(mode="after")
    def _engine_applies(self) -> Self:
        """Refuses options that an engine lacks; engines themselves refuse networks."""
        # Nearly all of the many runs that a sweep plans leave the choice open.
        if self.engine in ("auto", "generic"):
            return self
        lacks = {
            "fast": {
                "intervention plasticity_injection": self.intervention == "plasticity_injection",
                f"network {self.network}": self.network not in PERCEPTRONS,
                f"norm {self.norm}": self.norm != "none",
                f"activation {self.activation}": self.activation != "relu",
                "precision": self.precision != "float32",
                "device cuda": self.device == "cuda",
            },
            "stacked": {
                f"intervention {self.intervention}": self.intervention != "none",
                f"optimizer {self.optimizer}": self.optimizer == "rmsprop",
                f"dataset {self.dataset}, which is regression": self.facts.is_regression,
                "shift class_incremental": self.shift == "class_incremental",
                "gradual": self.gradual > 0,
                "norm batch": self._has_running_statistics,
                **dict.fromkeys(self.extras, True),
            },
        }
        for reason, applies in lacks[self.engine].items():
            if applies:
                raise ValueError(f"engine={self.engine}: must be auto or generic with {reason}")
        return self

    @model_validator(mode="after")
    def _a_batch_is_left(self) -> Self:
        if not self.fewest_steps_per_task:
            raise ValueError(
                f"batch_size={self.batch_size}: must be at most "
                f"{self._fewest_examples(self.shift, self.classes_per_task)} with drop_last, the "
                "training examples of the smallest task"
            )
        return self

    @model_validator(mode="after")
    def _small_steps_shrink_little(self) -> Self:
        if self.perturb_every == "step" and self.shrink < 0.99:
            raise ValueError(
                f"shrink={self.shrink:g}: must be in [0.99, 1] with perturb_every=step, where it "
                "acts after every training step (as shrink=0.9999 with perturb=0.0001)"
            )
        return self

    @model_validator(mode="after")
    def _a_carried_optimizer_is_reset(self) -> Self:
        if self.intervention == "optimizer_reset" and not self.carry_optimizer:
            raise ValueError(
                f"carry_optimizer={self.carry_optimizer}: must be True with intervention "
                "optimizer_reset; without it, each task begins with a fresh optimizer anyway"
            )
        return self

    @model_validator(mode="after")
    def _old_heads_do_not_come_back(self) -> Self:
        why = _KEEPING_OLD_HEADS.get(self.intervention)
        if why and self.head_reset != "none":
            raise ValueError(
                f"head_reset={self.head_reset}: must be none with intervention "
                f"{self.intervention}, {why}"
            )
        return self

    @model_validator(mode="after")
    def _frozen_networks_have_no_statistics(self) -> Self:
        if self.intervention == "plasticity_injection" and self._has_running_statistics:
            raise ValueError(
                "norm=batch: must be another with intervention plasticity_injection, whose frozen "
                "networks cannot share running statistics"
            )
        return self

    @model_validator(mode="after")
    def _recycling_happens(self) -> Self:
        """Refuses ``redo`` where it would never act."""
        if self.intervention == "redo" and self.redo_interval > self.fewest_steps_per_task:
            raise ValueError(
                f"redo_interval={self.redo_interval}: must be at most "
                f"{self.fewest_steps_per_task}, the training steps on each task"
            )
        return self

    @model_validator(mode="after")
    def _silence_lasts_a_batch(self) -> Self:
        """Refuses thresholds of ``snr`` that are shorter than the step in which it sees units."""
        batch = min(self.batch_size, self._fewest_examples(self.shift, self.classes_per_task))
        if self.intervention == "snr" and self.snr_max_age < batch:
            raise ValueError(
                f"snr_max_age={self.snr_max_age}: must be at least {batch}, the examples of a "
                "batch, as a unit's age grows by a batch at once"
            )
        return self

    @model_validator(mode="after")
    def _projected_weights_are_normalised(self) -> Self:
        """Refuses ``weight_projection`` in a network of raylot's own without norms."""
        is_built_in = self.network in BUILT_IN["network"]
        if self.intervention == "weight_projection" and is_built_in and self.norm == "none":
            has_norms = "norm" in parameters_used("network", self.network)
            needed = "norm other than none" if has_norms else f"network other than {self.network}"
            raise ValueError(f"intervention=weight_projection: must go with a {needed}")
        return self

    @functools.cached_property
    def facts(self) -> Facts:
        """The facts about the data set."""
        return facts_of(self)

    @property
    def stream(self) -> StreamRun:
        """The stream run that this run stands on: itself."""
        return self

    @property
    def learner(self) -> StreamRun:
        """The stream or ticket stream whose snapshots this run uses: itself if it trains one."""
        return self

    @property
    def first_task(self) -> int:
        """The task from which ``tasks`` and ``snapshots`` of the learner are counted."""
        return 0

    @classmethod
    def along(cls, extent: Mapping[str, Any]) -> dict[str, Any]:
        """Returns ``tasks`` and ``snapshots`` in the extent of a stream or ticket stream."""
        return {name.removeprefix(cls.prefix): value for name, value in extent.items()}

    @functools.cached_property
    def run_id(self) -> str:
        own = {k: v for k, v in self.identity().items() if k not in StreamRun.growing}
        return short_hash({"kind": self.kind, **own})

    @property
    def parent(self) -> StreamRun | None:
        """The run that must have ended before this one can start; None for a stream."""
        return None

    @property
    def training_steps_per_task(self) -> int:
        """Steps of one training; see `steps_on_task_of`."""
        return self.steps_on_task_of(self.shift, self.classes_per_task)

    def steps_on_task_of(self, shift: str, classes_per_task: int) -> int:
        """Steps of one training on a task of a shift.

        With class_split on average, as classes differ in size; with class_incremental and
        warm_start, whose tasks grow, at most.
        """
        examples = self.facts.training_examples
        if shift == "class_split":
            examples = examples * classes_per_task // self.facts.classes
        return self._steps_on(examples)

    @property
    def fewest_steps_per_task(self) -> int:
        """Steps of one training on the smallest task that may be drawn."""
        return self.fewest_steps_on_task_of(self.shift, self.classes_per_task)

    def fewest_steps_on_task_of(self, shift: str, classes_per_task: int) -> int:
        """Steps of one training on the smallest task that a shift may draw."""
        return self._steps_on(self._fewest_examples(shift, classes_per_task))

    def _steps_on(self, examples: int) -> int:
        batches = examples / self.batch_size
        return self.epochs * (math.floor(batches) if self.drop_last else math.ceil(batches))

    def _fewest_examples(self, shift: str, classes_per_task: int) -> int:
        if shift in ("class_split", "class_incremental"):
            return sum(sorted(self.facts.train_sizes)[:classes_per_task])
        if shift == "warm_start":
            return max(1, round(self.warm_share * self.facts.training_examples))
        return self.facts.training_examples

    @property
    def training_steps(self) -> int:
        """Training steps of the whole run."""
        return self.tasks * self.training_steps_per_task

    @property
    def extent(self) -> dict[str, Any]:
        """How far the run goes, and how it is judged: the `growing` options as JSON values."""
        values = {name: getattr(self, name) for name in sorted(self.growing)}
        return {n: list(v) if isinstance(v, tuple) else v for n, v in values.items()}

    def is_covered_by(self, extent: Mapping[str, Any]) -> bool:
        """Whether a run of the same identity with this extent holds all that this run asks for."""
        # Asked of every run again and again: copies of the run would take too long.
        for name, there in extent.items():
            wanted = getattr(self, name)
            if isinstance(there, list):
                is_there = set(there).issuperset(wanted)
            else:
                is_there = wanted == there if name in VERDICTS else wanted <= there
            if not is_there:
                return False
        return True

    def widened(self, extent: Mapping[str, Any]) -> Self:
        """Returns this run with at least this extent, and with its own verdict."""
        wider: dict[str, Any] = {}
        for name, there in extent.items():
            if isinstance(there, list):
                wider[name] = tuple(sorted({*there, *getattr(self, name)}))
            elif name not in VERDICTS:
                wider[name] = max(there, getattr(self, name))
        return self.model_copy(update=wider)

    def steps_beyond(self, extent: Mapping[str, Any], *, has_latest: bool = True) -> int:
        """Training steps of this run if a run of the same identity has ended with this extent.

        Args:
            extent: of the run that has ended.
            has_latest: whether it has left the state from which a stream goes on.
        """
        if not extent:
            return self.training_steps
        wider = self.widened(extent)
        there = self.model_copy(update=dict(extent)).training_steps
        again = self._steps_again(extent, wider.extent, has_latest)
        return wider.training_steps - there + again

    def _steps_again(
        self, extent: Mapping[str, Any], wanted: Mapping[str, Any], has_latest: bool
    ) -> int:
        """Training steps on tasks of a stream that are trained again to reach a wider extent."""
        if self.learner is not self:
            return 0
        steps = stream_steps(
            self.along(extent),
            [self.along(wanted)],
            has_latest=has_latest,
            keeps_optimizer=self.carry_optimizer,
        )
        return sum(s.is_again and s.trains for s in steps) * self.training_steps_per_task

    @property
    def unused_options(self) -> set[str]:
        """Options that play no part in this run; the ``runs`` table has null for them."""
        unused = {*unused_parameters(self.__dict__)}
        return unused if self.kind == StreamRun.kind else unused | StreamRun.growing

    @property
    def protocol(self) -> str:
        """Short hash of all options but those that a sweep compares: equal for comparable runs."""
        compared = compared_options(type(self))
        left_out = compared | self.unused_options
        left_out |= {"plugins", "plugin_options", "versions", *self.growing, *StreamRun.growing}
        values = {n: value for n, value in self.identity().items() if n not in left_out}
        # A shift that makes the probe tasks is none that is compared.
        of_probe_tasks = [("shift", str(values.get("probe_shift")))]
        for name in ("plugins", "versions"):
            if used := registry.without(getattr(self, name), compared, but=of_probe_tasks):
                values[name] = used
        if own := registry.without(self.plugin_options, compared):
            values["plugin_options"] = own
        return short_hash(values)

    @property
    def dose(self) -> dict[str, Any]:
        """Shift and intervention, their parameters as far as they use them, and the text of their
        own options: columns of the tables."""
        used = [name for kind in DOSED for name in parameters_used(kind, getattr(self, kind))]
        return {name: getattr(self, name) for name in (*DOSED, *used, "plugin_options")}

    def dose_of(self, kind: str) -> dict[str, Any]:
        """The shift or the intervention, with the parameters and own options that it uses."""
        return {n: getattr(self, n) for n in (kind, *options_used(kind, getattr(self, kind)))}

    @property
    def label(self) -> str:
        name = f"{self.kind} seed={self.seed}"
        for kind in DOSED:
            dose = self.dose_of(kind)
            if dose != {"intervention": "none"}:
                name += f" {labelled(kind, dose, plugin_options.names_of((kind, dose[kind])))}"
        return name


class RunOnStream(StreamRun):
    """Base of the runs that start from snapshots of a stream."""

    @functools.cached_property
    def learner(self) -> StreamRun:
        return self.stream

    @functools.cached_property
    def stream(self) -> StreamRun:
        """The stream run whose snapshots this run starts from."""
        # Not validated again: that takes most of the time in which a large sweep is planned.
        options = {name: getattr(self, name) for name in StreamRun.model_fields}
        named = naming_fields(StreamRun)
        used = {(kind, word) for name, _, kind in named for word in names_in(options[name])}
        for name in ("plugins", "plugin_options"):
            options[name] = registry.only(options[name], used)
        options["versions"] = versions_of(concepts_of(StreamRun.kind, options))
        return StreamRun.model_construct(_NOTHING_GIVEN, **options)


class RunOnSnapshots(RunOnStream):
    """A run that starts from all snapshots of a stream or ticket stream."""

    @property
    def parent(self) -> StreamRun:
        """The learner, as far as its snapshots that this run uses."""
        snapshots = getattr(self, f"{self.prefix}snapshots")
        needed = {"tasks": max(snapshots) + 1, "snapshots": snapshots}
        return self.learner.model_copy(
            update={self.prefix + name: value for name, value in needed.items()}
        )


@functools.cache
def compared_options(model: type[Options]) -> frozenset[str]:
    """The options of a run whose values a study compares, doses of shifts and interventions too.

    Runs that differ in anything else are not comparable.
    """
    marked = {n for n, field in model.model_fields.items() if is_marked(field, "compared")}
    return frozenset(marked.union(*map(parameters, DOSED)))


def short_hash(values: Mapping[str, Any]) -> str:
    """Returns an identity of 12 hexadecimal digits for options as JSON values."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
