"""One model per concept: data, shifts, interventions, network, training, plasticity, tickets.

An option that came later has an ``off`` value, at which runs keep the identity that they had
before.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from raylot.config import plugin_options
from raylot.config.naming import NamingOptions
from raylot.config.options import (
    OneOf,
    Options,
    accepted,
    is_parameter,
    is_used_by,
    option,
    parse_integers,
    parse_list,
)
from raylot.config.plugin_options import WithPluginOptions
from raylot.config.training_options import (
    AugmentationChoice,
    OptimizerChoice,
    ScheduleChoice,
    TrainingOptions,
)
from raylot.foundation import registry
from raylot.foundation.names import BUILT_IN
from raylot.foundation.paths import why_refused

Integers = BeforeValidator(parse_integers)
Sparsity = Annotated[float, Field(ge=0, lt=1)]


class DataOptions(NamingOptions, title="data"):
    """Options that choose the data set."""

    dataset: Annotated[str, OneOf("dataset")] = option(
        "digits", "data set: scikit-learn's 8x8 digits (embedded), your own arrays (npz: "
        "data_file), or in data_root your own images or one of torchvision's", common=True,
        role="training",
    )  # fmt: skip
    scaling: Literal["raw", "unit", "standardize"] = option(
        "raw", "inputs as stored (0-16 for digits, 0-255 for other images), divided by their "
        "maximum, or with the training split's mean 0 and standard deviation 1, of each channel or "
        "feature if there are several", role="training",
    )  # fmt: skip
    data_root: Path | None = option(
        None, "folder that holds the data set in torchvision's layout (MNIST/raw/...), or "
        "train/CLASS/*.png and test/CLASS/*.png of image_folder",
        accepts="a folder that holds MNIST/raw/train-images-idx3-ubyte and its three siblings, "
        "another data set in torchvision's layout, or train/CLASS/*.png and test/CLASS/*.png",
        role="where",
    )  # fmt: skip
    data_file: Path | None = option(
        None, "file with the arrays x_train, y_train, x_test and y_test; its content is part of "
        "what a run is, its path is not", accepts="a file of numpy's format npz",
        off=None, role="where", used_by=("npz",),
    )  # fmt: skip
    image_size: int | None = option(
        None, "height and width to which images are resized", ge=1, le=4096, off=None,
        role="training", used_by=("image_folder",),
    )  # fmt: skip
    emnist_split: Literal["balanced", "letters", "digits", "mnist"] = option(
        "balanced", "which of its splits", off="balanced", role="training", used_by=("emnist",)
    )
    download: bool = option(
        False, "download the data set into data_root if it is not there; on the command line "
        "only, a configuration file cannot ask for it", role="where",
    )  # fmt: skip

    @field_validator("data_root", "data_file", mode="before")
    @classmethod
    def _is_no_slip(cls, value: Any, info: Any) -> Any:
        """Refuses slips: an empty text, as of an unset shell variable, would be the working folder.

        A `Path` to a folder or file that exists is always accepted.
        """
        if isinstance(value, Path) and os.path.exists(value):  # noqa: PTH110 - it never raises
            return value
        text = str(value) if isinstance(value, str | Path) else None
        if text is not None and (reason := why_refused(text, with_uris=False)):
            what = accepted(cls.model_fields[info.field_name])
            raise ValueError(f"must be {what} ({reason})")
        return value

    @field_validator("data_root", "data_file")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        """A trial works in a folder of its own, where a relative path would lead elsewhere."""
        try:
            return None if value is None else value.expanduser().resolve()
        except RuntimeError as error:  # there is no such user
            raise ValueError(str(error)) from None


class ShiftParameters(Options, title="shifts"):
    """How far tasks of a stream differ."""

    fraction: float = option(
        1.0, "share of the pixels that are permuted among themselves", gt=0, le=1, off=1.0,
        role="training", used_by=("permuted_pixels",),
    )  # fmt: skip
    first_task_identity: bool = option(
        False, "task 0 is the data set itself", off=False, role="training",
        used_by=("permuted_pixels", "permuted_labels", "random_labels", "rotation"),
    )  # fmt: skip
    rotation_range: float = option(
        360.0, "each task's angle is drawn from 0 to this, in degrees", gt=0, le=360, off=360.0,
        role="training", used_by=("rotation",),
    )  # fmt: skip
    classes_per_task: int = option(
        2, "classes of each task, at most the data set's", ge=2, off=2, role="training",
        used_by=("class_split",),
    )  # fmt: skip
    noise_step: float = option(
        0.02, "share of the pixels replaced by random values, times the task's number",
        gt=0, le=1, off=0.02, role="training", used_by=("noise",),
    )  # fmt: skip
    period: int = option(
        0, "tasks after which the stream starts over with its first task; 0: never",
        ge=0, le=1_000_000, off=0, role="training", unused_by=("stationary",),
    )  # fmt: skip
    gradual: float = option(
        0.0, "share of a task's training over which the previous task's examples fade out; "
        "0: tasks change at once; tickets are searched on the new task alone", ge=0, le=1, off=0.0,
        role="training", unused_by=("stationary",),
    )  # fmt: skip


class ShiftOptions(ShiftParameters, NamingOptions):
    """How tasks change along the stream."""

    shift: Annotated[str, OneOf("shift")] = option(
        "permuted_pixels", "what changes from task to task; stationary is the control",
        compared=True, role="training",
    )  # fmt: skip


class InterventionParameters(Options, title="interventions"):
    """How strongly a method acts."""

    l2_strength: float = option(
        1e-4, "factor of the sum of squares that is added to the loss (without 1/2)",
        ge=0, le=100, off=1e-4, role="training", used_by=("l2", "l2_init"),
    )  # fmt: skip
    shrink: float = option(
        0.8, "factor by which weights shrink", ge=0, le=1, off=0.8,
        role="training", used_by=("shrink_and_perturb",),
    )  # fmt: skip
    perturb: float = option(
        0.1, "share of a fresh initialisation that is then added", ge=0, le=100, off=0.1,
        role="training", used_by=("shrink_and_perturb",),
    )  # fmt: skip
    perturb_every: Literal["task", "step"] = option(
        "task", "after each task, or after each training step", off="task",
        role="training", used_by=("shrink_and_perturb",),
    )  # fmt: skip
    redo_threshold: float = option(
        0.025, "a unit is reset if its mean |activation| is at most this share of its layer's mean",
        ge=0, le=1, off=0.025, role="training", used_by=("redo",),
    )  # fmt: skip
    redo_interval: int = option(
        100, "training steps between resets", ge=1, le=1_000_000_000, off=100,
        role="training", used_by=("redo",),
    )  # fmt: skip


class InterventionOptions(InterventionParameters, NamingOptions):
    """Options that choose a method to keep plasticity."""

    intervention: Annotated[str, OneOf("intervention")] = option(
        "none", "method that is meant to keep plasticity", compared=True, off="none",
        role="training",
    )  # fmt: skip


class NetworkOptions(NamingOptions, title="network"):
    """Options that choose the network."""

    network: Annotated[str, OneOf("network")] = option(
        "mlp", "architecture; those built in have ReLU activations", role="training"
    )
    hidden: Annotated[
        tuple[Annotated[int, Field(ge=1, le=65536)], ...], Integers, Field(min_length=1)
    ] = option(
        (64,), "units of each hidden layer, first to last", common=True,
        accepts="one or more whole numbers in [1, 65536], as 256 or 100,100",
        role="training", used_by=("mlp",),
    )  # fmt: skip
    width: int = option(
        16, "channels of the first stage; each later one doubles them",
        ge=1, le=4096, off=16, role="training", used_by=("vgg", "resnet"),
    )  # fmt: skip
    norm: Literal["none", "batch", "layer"] = option(
        "none", "normalisation after each convolution", off="none",
        role="training", used_by=("vgg", "resnet"),
    )  # fmt: skip


class NoteOptions(Options, title="record"):
    """What the user wants to find again beside the results."""

    note: str | None = option(
        None, "text kept with the runs that the command computes, in the column note of runs; a "
        "run that grows gets the latest", accepts="one line of at most 500 characters",
        min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$", role="where",
    )  # fmt: skip


class StreamOptions(Options, title="stream"):
    """How long the stream is, and when snapshots are taken."""

    tasks: int = option(31, "tasks in the stream", common=True, ge=1, le=1_000_000, role="extent")
    snapshots: Annotated[tuple[int, ...], Integers, Field(min_length=1)] = option(
        "0-:10", "tasks before which a snapshot is taken; its tickets are searched on that task",
        common=True,
        accepts="task numbers from 0 to tasks - 1, each once, as 0,10,20 or 0-20:10 or 0-:10",
        role="extent",
    )  # fmt: skip
    carry_optimizer: bool = option(
        False,
        "carry the optimizer's state from task to task instead of starting it afresh",
        role="training",
    )

    @field_validator("snapshots", mode="before")
    @classmethod
    def _close_open_ranges(cls, value: Any, info: Any) -> Any:
        """``"0-:10"`` means up to the last task."""
        if isinstance(value, str) and "tasks" in info.data:
            parts = value.replace(",", " ").split()
            return " ".join(p.replace("-:", f"-{info.data['tasks'] - 1}:") for p in parts)
        return value

    @field_validator("snapshots")
    @classmethod
    def _within_stream(cls, value: tuple[int, ...], info: Any) -> tuple[int, ...]:
        tasks = info.data.get("tasks", math.inf)
        if len(set(value)) < len(value) or any(not 0 <= task < tasks for task in value):
            raise ValueError(f"must be task numbers from 0 to {tasks - 1}, each once")
        return tuple(sorted(value))


class ProbeOptions(WithPluginOptions):
    """How the units of a snapshot are observed: what metrics of plugins may depend on."""

    probe_size: int = option(
        512, "training inputs of the new task on which activations are measured", ge=2,
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


class ProbeShiftOptions(NamingOptions):
    """Which unseen tasks a seed has."""

    probe_shift: Annotated[str | None, OneOf("shift")] = option(
        None, "shift that makes the probe tasks, at its default parameters; none given: "
        "class_split if it is among the shifts, else the first of them but noise and stationary, "
        "else permuted_pixels", accepts="one of class_split, permuted_labels, permuted_pixels, "
        "random_labels, rotation, none, or a plugin's shift", off=None, role="measurement",
    )  # fmt: skip

    @field_validator("probe_shift")
    @classmethod
    def _draws_tasks_that_differ(cls, value: str | None) -> str | None:
        if value in NO_PROBE_SHIFTS:
            raise ValueError("its tasks do not differ, or get ever harder")
        return value


class ProbeTaskOptions(ProbeShiftOptions, title="probe tasks"):
    """Unseen tasks on which snapshots are trained beside a fresh network."""

    probe_tasks: int = option(
        4, "tasks of each seed that none of its streams shows; each snapshot and a fresh network "
        "are trained on each of them, to measure plasticity; 0: none", common=True, ge=0, le=1000,
        role="extent",
    )  # fmt: skip


class SearchTaskOptions(Options, title="search task"):
    """The task on which a snapshot's tickets are searched."""

    search_task: Literal["own", "probe"] = option(
        "own", "task on which tickets are searched: the snapshot's own next task, or the first "
        "probe task of its seed, which is the same for all streams", off="own", common=True,
        role="search",
    )  # fmt: skip


class PruningOptions(NamingOptions):
    """How a ticket is searched (iterative magnitude pruning)."""

    scope: Literal["layer", "global"] = option(
        "layer", "rank weights within each layer, or over all layers", role="search"
    )
    masked: Literal["zero", "freeze"] = option(
        "zero",
        "pruned weights are 0 for good, or stay at the value to which they are rewound",
        role="search",
    )
    criterion: Annotated[str, OneOf("criterion")] = option(
        "magnitude", "what a weight's survival is ranked by: |w| after training, its increase, the "
        "distance |w - w0| it moved, or chance (Zhou et al. 2019)", off="magnitude", role="search",
    )  # fmt: skip
    rewind_steps: int = option(
        0, "training steps after the snapshot to whose state weights are rewound; 0: the snapshot",
        ge=0, le=1_000_000_000, off=0, role="search",
    )  # fmt: skip
    output_rate: float = option(
        1.0, "rate at which the output layer is pruned per round, as a share of the others' rate "
        "(with scope layer)", ge=0, le=1, off=1.0, role="search",
    )  # fmt: skip

    @model_validator(mode="after")
    def _output_rate_needs_layers(self) -> Self:
        if self.output_rate != 1 and self.scope != "layer":
            raise ValueError(f"output_rate={self.output_rate:g}: must be 1 unless scope is layer")
        return self


class TicketOptions(PruningOptions, title="tickets"):
    """How many tickets and controls are searched per snapshot and sparsity."""

    tickets: int = option(
        4, "tickets per snapshot and sparsity; they differ in data order", common=True,
        ge=1, le=1000, role="extent",
    )  # fmt: skip
    untrained_masks: int = option(
        1, "masks of the snapshot's own largest magnitudes at a ticket's layer densities, chosen "
        "without training, as control", ge=0, le=1000, role="extent",
    )  # fmt: skip
    random_masks: int | None = option(
        None, "random masks of the same layer densities, as control; none given: as many as "
        "tickets", ge=0, le=1000, role="extent",
    )  # fmt: skip
    random_density: float | None = option(
        None, "random masks keep each weight independently with this probability instead",
        accepts="a number in (0, 1], or none for the tickets' layer densities",
        gt=0, le=1, off=None, role="search",
    )  # fmt: skip
    rewired_masks: int = option(
        0, "random masks in which each unit keeps its ticket's number of incoming and outgoing "
        "weights, as control", ge=0, le=1000, role="extent",
    )  # fmt: skip
    reinit_tickets: int = option(
        0, "tickets trained from a fresh initialisation, as control", ge=0, le=1000, off=0,
        role="extent",
    )  # fmt: skip
    tolerance: float = option(
        0.01, "a ticket wins if its test accuracy is at most this much (as a fraction of 1), or "
        "one standard error, below the dense network's, and clearly above that of random masks of "
        "its layer densities, of which at least 3 are needed", ge=0, le=1, role="verdict",
    )  # fmt: skip


class TicketSearchOptions(TicketOptions, TrainingOptions):
    """The whole search for the tickets of one snapshot at one sparsity."""

    sparsity: Sparsity = option(
        0.8, "target fraction of the weights removed", compared=True, role="search"
    )
    rounds: int | None = option(
        None, "pruning rounds; none given: 20% of the survivors per round", compared=True,
        ge=1, le=1000, role="search",
    )  # fmt: skip

    @field_validator("rounds")
    @classmethod
    def _customary_rounds(cls, value: int | None, info: Any) -> int | None:
        if value is None and "sparsity" in info.data:
            return customary_rounds(info.data["sparsity"])
        return value

    @field_validator("random_masks")
    @classmethod
    def _as_many_as_tickets(cls, value: int | None, info: Any) -> int | None:
        return info.data.get("tickets") if value is None else value

    @model_validator(mode="after")
    def _engine_measures_gradients(self) -> Self:
        """Refuses the engine that lacks what a plugin's criterion needs."""
        if self.engine == "fast":
            added = registry.find("criterion", self.criterion)
            if added is not None and added.gradients:
                raise ValueError(
                    "engine=fast: must be auto, generic or stacked with criterion "
                    f"{self.criterion}, which needs mean gradients"
                )
        return self

    @property
    def round_count(self) -> int:
        assert self.rounds is not None, "filled in when the options were validated"
        return self.rounds

    @property
    def random_mask_count(self) -> int:
        assert self.random_masks is not None, "filled in when the options were validated"
        return self.random_masks

    @property
    def control_count(self) -> int:
        """Networks trained as controls, beside the dense ones."""
        others = self.untrained_masks + self.rewired_masks + self.reinit_tickets
        return self.random_mask_count + others

    @property
    def trainings(self) -> int:
        """Networks trained: each ticket densely and after each round, and the controls."""
        return self.tickets * (self.round_count + 1) + self.control_count


class TicketSnapshotOptions(Options):
    """When the plasticity of ticket streams is measured."""

    ticket_snapshots: Annotated[tuple[int, ...] | None, Integers] = option(
        None, "new tasks, counted from 0, before which the plasticity of subnetworks is measured; "
        "none given: before the first, the 10th, the 100th ...",
        accepts="numbers of new tasks from 0 to ticket_tasks - 1, each once, as 0,9,99 or 0-90:10, "
        "or none", role="extent",
    )  # fmt: skip

    @field_validator("ticket_snapshots")
    @classmethod
    def _each_snapshot_once(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is None:
            return None
        if not value or len(set(value)) < len(value) or min(value) < 0:
            raise ValueError("none, one given twice, or a negative one")
        return tuple(sorted(value))

    @model_validator(mode="after")
    def _ticket_streams_are_long_enough(self) -> Self:
        last, tasks = max(self.ticket_snapshots or (0,)), getattr(self, "ticket_tasks", 0)
        if self.ticket_snapshots and last >= tasks:
            raise ValueError(f"ticket_snapshots={last}: must be less than ticket_tasks={tasks}")
        return self


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


def customary_rounds(sparsity: float) -> int:
    """Rounds that remove about 20% of the survivors each (Frankle & Carbin 2019); at least 1."""
    return max(1, round(math.log(1 - sparsity) / math.log(0.8)))


#: Shifts that make no probe tasks.
NO_PROBE_SHIFTS = ("stationary", "noise")


def customary_probe_shift(shifts: Sequence[str]) -> str:
    """Returns the shift that makes the probe tasks of streams with these shifts.

    It is the same for all of them, so that they are compared on the same tasks.
    """
    drawn = [shift for shift in shifts if shift not in NO_PROBE_SHIFTS]
    return "class_split" if "class_split" in drawn else next(iter(drawn), "permuted_pixels")


#: Option that chooses one of several -> the model that declares what these use.
PARAMETERS: dict[str, type[Options]] = {
    "dataset": DataOptions,
    "shift": ShiftParameters,
    "network": NetworkOptions,
    "intervention": InterventionParameters,
    "optimizer": OptimizerChoice,
    "schedule": ScheduleChoice,
    "augment": AugmentationChoice,
}

#: Options that choose what has parameters of its own.
CHOICES = tuple(PARAMETERS)

#: Those whose parameters are doses: a study compares several values of them.
DOSED = ("shift", "intervention")


@functools.cache
def parameters(kind: str) -> tuple[str, ...]:
    """The parameters of a kind of choice, one of `CHOICES`."""
    declared = PARAMETERS[kind].model_fields
    return tuple(name for name, field in declared.items() if is_parameter(field))


#: What one run has one of, and what can have parameters or options of its own.
ONE_OF = (*CHOICES, "criterion")


def options_used(kind: str, name: str) -> tuple[str, ...]:
    """The same as `parameters_used`, and a plugin's options of its own; also of a criterion."""
    built_in = parameters_used(kind, name) if kind in PARAMETERS else ()
    return (*built_in, *plugin_options.names_of((kind, name)))


def parameters_used(kind: str, name: str) -> tuple[str, ...]:
    """The parameters that one of a kind uses: a data set, shift, network, optimizer ...

    A plugin's may read every parameter of its kind. If it declares options of its own, it uses
    those that are not for particular names alone, as ``period``.
    """
    return _parameters_used(kind, name, registry.options_of(kind, name) is not None)


@functools.cache
def _parameters_used(kind: str, name: str, has_own: bool) -> tuple[str, ...]:
    declared = PARAMETERS[kind].model_fields
    uses_all = name not in BUILT_IN.get(kind, (name,)) and not has_own
    return tuple(p for p in parameters(kind) if uses_all or is_used_by(declared[p], name))


def unused_parameters(choices: Mapping[Any, Any]) -> Mapping[str, Any]:
    """Maps each parameter that no choice uses to its default.

    Args:
        choices: the chosen data set, shift, network, optimizer ..., by their kind.
    """
    return _unused(tuple(parameters_used(kind, choices[kind]) for kind in CHOICES))


@functools.cache
def _unused(used_by_choices: tuple[tuple[str, ...], ...]) -> Mapping[str, Any]:
    used = set(itertools.chain(*used_by_choices))
    return {
        name: PARAMETERS[kind].model_fields[name].default
        for kind in CHOICES
        for name in parameters(kind)
        if name not in used
    }
