"""A study: the values that one sweep covers, and where it runs."""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from raylot.config import plugin_options
from raylot.config.barrier_options import BarrierOptions
from raylot.config.data_options import DataOptions
from raylot.config.distributions import Distribution
from raylot.config.intervention_options import InterventionParameters
from raylot.config.measurement_run import MeasurementRun, measurements
from raylot.config.naming import NamingOptions
from raylot.config.network_options import NetworkOptions
from raylot.config.options import (
    Integers,
    OneOf,
    Options,
    option,
    parse_list,
    parse_rounds,
)
from raylot.config.parameters import ONE_OF, kind_with, options_used
from raylot.config.plasticity_options import MeasuresOptions, PlasticParameterOptions
from raylot.config.probe_options import ProbeTaskOptions, SearchTaskOptions
from raylot.config.probe_run import ProbeRun, probes
from raylot.config.retraining_run import RetrainingRun, retrainings
from raylot.config.runs import LAST_SEED, StreamRun
from raylot.config.search_axes import (
    INTERVENTION,
    as_typed,
    checked_axis,
    is_of_streams,
    options_of,
    parse_search,
    points,
    with_draws,
)
from raylot.config.share import MOST_SHARES, Share
from raylot.config.shift_options import ShiftParameters, customary_probe_shift
from raylot.config.stream_options import NoteOptions, StreamOptions
from raylot.config.ticket_options import (
    Sparsity,
    TicketOptions,
    TicketSnapshotOptions,
    customary_rounds,
)
from raylot.config.ticket_runs import (
    Subnetwork,
    TicketBarrierRun,
    TicketMeasurementRun,
    TicketsRun,
    TicketStreamRun,
)
from raylot.config.training_options import TrainingOptions
from raylot.datasets import facts_of
from raylot.foundation import registry
from raylot.foundation.errors import OptionError, shown
from raylot.foundation.names import BUILT_IN, FEWEST_SEEDS_TO_STOP

_List = BeforeValidator(parse_list)
_Seed = Annotated[int, Field(ge=0, le=LAST_SEED)]
_Rounds = Annotated[int, Field(ge=1, le=1000)]

#: Points of a search that are checked when a study is made; planning the runs checks the others.
_CHECKED = 1000


class SearchOptions(NamingOptions, title="what is varied"):
    """Options that a study varies."""

    seeds: Annotated[tuple[_Seed, ...], Integers, Field(min_length=1)] = option(
        "0-4", "seeds, each a replicate", common=True,
        accepts="whole numbers from 0, each once, as 0-9 or 0,3,5", role="training",
    )  # fmt: skip
    until_width: float | None = option(
        None, "add seeds, those after the largest given, until every 95% interval of the primary "
        "pair is at most so wide (upper minus lower bound, in units of accuracy): of the change of "
        "the probe gap and of tickets minus random masks along each stream, at each sparsity; none "
        "given: the seeds stay as they are", gt=0, le=1, role="extent",
    )  # fmt: skip
    max_seeds: int | None = option(
        None, "seeds at which until_width stops adding, those given included; none given: four "
        "times those given, and 20 at least", ge=FEWEST_SEEDS_TO_STOP, le=100_000, role="extent",
    )  # fmt: skip
    seeds_per_step: int = option(
        2, "seeds that until_width adds at once, before it looks at the intervals again", ge=1,
        le=100_000, role="extent",
    )  # fmt: skip
    shifts: Annotated[tuple[str, ...], _List, OneOf("shift"), Field(min_length=1)] = option(
        ("permuted_pixels", "stationary"), "shift types to compare", common=True, role="training"
    )
    interventions: Annotated[tuple[str, ...], _List, OneOf("intervention"), Field(min_length=1)] = (
        option(("none",), "interventions to compare", common=True, role="training")
    )
    sparsities: Annotated[tuple[Sparsity, ...], _List, Field(min_length=1)] = option(
        (0.8, 0.9), "target fractions of weights removed", common=True,
        accepts="one or more numbers in [0, 1), each once, as 0.8,0.9", role="search",
    )  # fmt: skip
    rounds: Annotated[_Rounds | dict[Sparsity, _Rounds] | None, BeforeValidator(parse_rounds)] = (
        option(
            None,
            "pruning rounds, for all sparsities or one per sparsity; auto: 20% of the survivors "
            "per round, or what the criterion's authors take where it scores before training",
            accepts="a whole number in [1, 1000], one per sparsity as 0.8:3,0.9:5, or auto",
            role="search",
        )
    )
    search: Annotated[dict[str, Any] | None, BeforeValidator(parse_search)] = option(
        None, "options to vary, each with every shift and intervention that uses it: values, as "
        "lr=1e-3,1e-2 or lr=grid(1e-3,1e-2); a distribution of Ray Tune's, as "
        "lr=loguniform(1e-4,1e-2), drawn once for all seeds (with samples); or values that go "
        "together, as zip(lr,batch_size)=(1e-3,32),(3e-3,128); may be given several times",
        repeated=True,
        accepts="options, each once, with their values or a distribution, as l2_strength=1e-4,1e-3 "
        "or lr=loguniform(1e-4,1e-2), or none",
        role="training",
    )  # fmt: skip
    samples: int | None = option(
        None, "draws of the distributions in search; more of them leave the first ones as they are",
        ge=1, le=10_000, role="extent",
    )  # fmt: skip
    search_seed: int = option(0, "seed of these draws", ge=0, le=LAST_SEED, role="training")

    @field_validator("search")
    @classmethod
    def _searched_values_are_accepted(cls, value: Mapping[str, Any] | None) -> Any:
        return value and {axis: checked_axis(axis, given) for axis, given in value.items()}

    @field_validator("seeds", "shifts", "interventions", "sparsities")
    @classmethod
    def _each_once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(value)) < len(value):
            raise ValueError("given twice")
        return value


class TicketStreamOptions(TicketSnapshotOptions, title="ticket streams"):
    """Options that choose the subnetworks to train on further tasks."""

    ticket_tasks: int = option(
        0, "new tasks on which subnetworks of each snapshot are then trained one after another; "
        "0: none", ge=0, le=1_000_000, role="extent",
    )  # fmt: skip
    subnetworks: Annotated[tuple[Subnetwork, ...], _List, Field(min_length=1)] = option(
        ("ticket", "dense", "random", "reinit"),
        "subnetworks to train: a ticket, the dense network, a random mask, a ticket freshly "
        "initialised",
        accepts=f"one or more of {', '.join(get_args(Subnetwork))}, each once",
        role="extent",
    )
    stream_sparsities: Annotated[
        tuple[Sparsity, ...] | Literal["highest"] | None,
        BeforeValidator(lambda value: value if value == "highest" else parse_list(value)),
    ] = option(
        None, "sparsities whose tickets are trained on the new tasks; none given: all",
        accepts="some of the sparsities, each once, as 0.9, or highest, or none", role="extent",
    )  # fmt: skip
    stream_snapshots: Annotated[tuple[int, ...] | None, Integers] = option(
        None, "snapshots whose subnetworks are trained on the new tasks; none given: all",
        accepts="some of the snapshots, each once, as 0,20, or none", role="extent",
    )  # fmt: skip

    @field_validator("subnetworks", "stream_sparsities", "stream_snapshots")
    @classmethod
    def _each_given_once(cls, value: Any) -> Any:
        if isinstance(value, tuple) and (not value or len(set(value)) < len(value)):
            raise ValueError("none, or one given twice")
        return value


class SweepOptions(Options, title="where it runs"):
    """Options that say where a sweep runs and what it may use; none changes results."""

    storage: str | None = option(
        None, "where all results go; not given: results/NAME, below the working directory",
        common=True, accepts="a folder that can be written, or a URI as s3://bucket/folder",
        min_length=1, role="where",
    )  # fmt: skip
    name: str | None = option(
        None, "name of the study, part of its folder's name",
        accepts="at most 100 letters, digits, '-', '_' and '.'",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100, role="where",
    )  # fmt: skip
    address: str | None = option(
        None, "where Ray runs: auto, host:port, or local for a Ray of its own; none given: as Ray "
        "decides, that is RAY_ADDRESS, a cluster running on this machine, or a new one",
        accepts="auto, local, or host:port of a Ray cluster",
        pattern=r"^(auto|local|(ray://)?[A-Za-z0-9_.\[\]:-]+:[0-9]{1,5})$", role="where",
    )  # fmt: skip
    local: bool = option(
        False, "compute one run after another in this process, without Ray and its workers; so is "
        "by itself what has no two runs to train at once, unless an address is given",
        common=True, role="where",
    )  # fmt: skip
    share: str | None = option(
        None, "share of the streams, and of all that stands on them, that this command computes, "
        "beside commands with the other shares on the same storage: 3/16 is the third of sixteen",
        accepts=f"K/N, the share and the number of shares, with 1 <= K <= N <= {MOST_SHARES}, as "
        "3/16", pattern="^[0-9]{1,6}/[0-9]{1,6}$", role="where",
    )  # fmt: skip
    # Ray reckons in units of 1/10000, and refuses what rounds down to none.
    cpus_per_trial: float = option(
        1, "CPU cores that a trial reserves", ge=0.0001, le=4096, role="where"
    )
    gpus_per_trial: float = option(
        0, "GPUs that a trial reserves; fractions share one",
        accepts="0, a number in [0.0001, 1], or a whole number in [1, 4096]", ge=0, le=4096,
        role="where",
    )  # fmt: skip
    max_concurrent: int | None = option(
        None, "trials running at once; none given: as many as fit", ge=1, role="where"
    )
    max_failures: int = option(
        3, "times a run is continued after its worker or node was lost", ge=0, le=1000, role="where"
    )
    fail_fast: int | None = option(
        None, "stop the sweep once so many of its runs have failed; none given: never", ge=1,
        role="where",
    )  # fmt: skip
    save_interval: float = option(
        5.0, "seconds between saves of a running trial's state; 0: after every step",
        ge=0, le=86400, role="where",
    )  # fmt: skip
    storage_patience: float = option(
        600.0, "seconds for which a full disk, or an object store that refuses, is tried again",
        ge=0, le=604_800, role="where",
    )  # fmt: skip
    node_patience: float = option(
        600.0, "seconds to wait for an autoscaling cluster to add a node that can hold a trial; "
        "another cluster's nodes may take 20 s", ge=0, le=604_800, role="where",
    )  # fmt: skip

    logger: Literal["none", "mlflow", "wandb"] = option(
        "none", "where measures are logged beside TensorBoard: mlflow (MLFLOW_TRACKING_URI, or "
        "STORAGE/mlflow.db), or wandb (Weights & Biases)", role="where",
    )  # fmt: skip

    @field_validator("share")
    @classmethod
    def _share_is_one_of_them(cls, value: str | None) -> str | None:
        return None if value is None else str(Share.parse(value))

    @field_validator("gpus_per_trial")
    @classmethod
    def _ray_can_reserve_it(cls, value: float) -> float:
        """Ray shares one GPU out in units of 1/10000, and several only as wholes."""
        if 0 < value < 0.0001 or (value > 1 and not value.is_integer()):
            raise ValueError("no share of one GPU, and no number of GPUs")
        return value

    @model_validator(mode="after")
    def _local_is_without_workers(self) -> Self:
        for name, accepts, why in (
            ("address", (None,), "no Ray is joined"),
            ("logger", ("none",), "Ray calls loggers"),
            ("cpus_per_trial", (1,), "each run trains on one core"),
            ("gpus_per_trial", (0, 1), "one run has the GPU to itself"),
            ("max_concurrent", (None, 1), "one run is computed at a time"),
        ):
            if self.local and (value := getattr(self, name)) not in accepts:
                value = f"{value:g}" if isinstance(value, float) else value
                raise OptionError(f"{name}={value}: must be given without local=True, as {why}")
        return self

    @property
    def cluster_address(self) -> str:
        """The address of the Ray cluster that the option or RAY_ADDRESS names; empty: none."""
        return self.address or os.environ.get("RAY_ADDRESS", "")


class Study(
    SearchOptions,
    DataOptions,
    ShiftParameters,
    NetworkOptions,
    InterventionParameters,
    TrainingOptions,
    StreamOptions,
    ProbeTaskOptions,
    SearchTaskOptions,
    MeasuresOptions,
    TicketOptions,
    PlasticParameterOptions,
    BarrierOptions,
    TicketStreamOptions,
    NoteOptions,
    SweepOptions,
):
    """Everything that one command runs: the options of its runs, what is varied, and where.

    Each of these concepts is a group in ``--help``, in this order, under its ``title``.
    """

    @model_validator(mode="after")
    def _interventions_are_those_of_the_search(self) -> Self:
        for axis, given in self._axes.items():
            if INTERVENTION in (names := options_of(axis)):
                if "interventions" in self.model_fields_set:
                    raise OptionError(
                        f"{as_typed(axis, given)}: must be given without interventions="
                        f"{','.join(self.interventions)}"
                    )
                chosen = dict.fromkeys(row[names.index(INTERVENTION)] for row in given)
                self.__dict__["interventions"] = tuple(chosen)
        return self

    @model_validator(mode="after")
    def _draws_are_asked_for(self) -> Self:
        drawn = [axis for axis, given in self._axes.items() if isinstance(given, Distribution)]
        if drawn and self.samples is None:
            told = as_typed(drawn[0], self._axes[drawn[0]])
            raise OptionError(f"{told}: must go with samples, as samples=20")
        if self.samples is not None and not drawn:
            raise OptionError(
                f"samples={self.samples}: must go with a distribution in search, as "
                "loguniform(1e-4,1e-2) for lr"
            )
        return self

    @model_validator(mode="after")
    def _searched_options_are_used(self) -> Self:
        for axis, given in self._axes.items():
            for name in options_of(axis):
                if name in self.model_fields_set or name in self.own_options:
                    raise OptionError(
                        f"{as_typed(axis, given)}: must be given without "
                        f"{name}={getattr(self, name)}"
                    )
                kind = kind_with(name)
                if kind and not any(name in options_used(kind, o) for o in self.chosen(kind)):
                    choices = get_args(TicketsRun.model_fields[kind].annotation)  # of a Literal
                    known = choices or registry.names(kind)
                    users = [one for one in known if name in options_used(kind, one)]
                    raise OptionError(
                        f"{as_typed(axis, given)}: must go with {kind} {' or '.join(users)}"
                    )
        return self

    def chosen(self, kind: str) -> Sequence[str]:
        """The shifts, networks, interventions, optimizers ... of the study."""
        if kind in type(self).model_fields:
            return self._values_of(kind)
        chosen: tuple[str, ...] = getattr(self, f"{kind}s")
        return chosen

    @model_validator(mode="after")
    def _each_axis_is_of_one_kind_of_run(self) -> Self:
        """A grid joins what is trained with how tickets are searched; one axis cannot do both."""
        for names in map(options_of, self.searched):
            of_streams = [name for name in names if is_of_streams(name)]
            if of_streams and len(of_streams) < len(names):
                other = next(name for name in names if name not in of_streams)
                (own,) = (axis for axis in self._axes if other in options_of(axis))
                raise OptionError(
                    f"{as_typed(own, self._axes[own])}: must have values of its own, as {other} "
                    "decides how tickets are searched; zip and draws cannot join it with "
                    f"{of_streams[0]}, which decides what is trained"
                )
        return self

    @model_validator(mode="after")
    def _runs_are_valid(self) -> Self:
        self._check_runs()
        return self

    def _check_runs(self) -> None:
        fixed = {"task": self.snapshots[0], "sparsity": self.sparsities[0]}
        fixed |= {k: getattr(self, k) for k in ONE_OF if k in type(self).model_fields}
        varied = {name for axis in self.searched for name in options_of(axis)}
        axes = {"shift": self.shifts, INTERVENTION: self.interventions}
        axes = {name: own for name, own in axes.items() if name not in varied} | self.searched
        fixed = {name: value for name, value in fixed.items() if name not in varied}
        for point in itertools.islice(points(axes, fixed), _CHECKED):
            try:
                run = self.tickets_run(**{"rounds": None, **point})
                self.measurement_runs(run.stream)
                self.probe_runs(run.stream)
                self.retraining_runs(run.stream)
                self.ticket_barrier_runs(run)
            except OptionError as error:  # a run has one value where a study has several
                told = re.sub("^(shift|intervention)=", r"\1s=", str(error))
                is_searched = told.partition("=")[0] in varied
                raise OptionError(f"search={told}" if is_searched else told) from None

    @property
    def own_options(self) -> dict[str, Any]:
        """The options of plugins that are given, with their values."""
        given = plugin_options.parsed(self.plugin_options)
        return {name: value for own in given.values() for name, value in own.items()}

    @property
    def _axes(self) -> Mapping[str, Any]:
        return self.search or {}

    @property
    def searched(self) -> dict[str, tuple[Any, ...]]:
        """The axes of the search, with draws made: an option -> its values, or several options,
        named ``zip(a,b)``, -> rows of their values."""
        return self._searched  # kept under a name with _, or pydantic would count it an option

    @functools.cached_property
    def _searched(self) -> dict[str, tuple[Any, ...]]:
        return with_draws(self._axes, self.samples or 0, self.search_seed)

    def _values_of(self, name: str) -> tuple[Any, ...]:
        """The values of an option; of a distribution its extremes, however many are drawn."""
        for axis, given in self._axes.items():
            if name in (names := options_of(axis)):
                if isinstance(given, Distribution):
                    return given.extremes
                place = names.index(name)
                return tuple(row[place] for row in given) if len(names) > 1 else given
        return (getattr(self, name),)

    @model_validator(mode="after")
    def _trials_get_what_they_compute_on(self) -> Self:
        if self.device == "cuda" and not self.gpus_per_trial:
            raise ValueError("device=cuda: must go with gpus_per_trial greater than 0")
        if "float16" in self._values_of("precision") and not self.gpus_per_trial:
            raise ValueError("precision=float16: must go with gpus_per_trial greater than 0")
        if self.engine == "fast" and self.gpus_per_trial and self.device == "auto":
            raise ValueError(
                "engine=fast: must be auto, generic or stacked with gpus_per_trial greater than 0"
            )
        return self

    @model_validator(mode="after")
    def _file_is_read(self) -> Self:
        if self.data_file is not None and self.dataset in {*BUILT_IN["dataset"]} - {"npz"}:
            raise ValueError(f"data_file={self.data_file}: must go with dataset=npz")
        return self

    @model_validator(mode="after")
    def _rounds_fit(self) -> Self:
        if isinstance(self.rounds, dict) and self.rounds.keys() != set(self.sparsities):
            raise self._rounds_do_not_fit(self.rounds, self.sparsities)
        return self

    def _rounds_do_not_fit(
        self, table: Mapping[float, int], sparsities: Iterable[float]
    ) -> OptionError:
        told = ",".join(f"{sparsity}:{count}" for sparsity, count in table.items())
        return OptionError(
            f"rounds={shown(told)}: must have one entry for each sparsity that is searched, and no "
            f"other: {', '.join(map(str, sparsities))}"
        )

    @model_validator(mode="after")
    def _streams_are_searched(self) -> Self:
        for name, wanted, known in (
            ("stream_sparsities", self.streamed_sparsities, self.sparsities),
            ("stream_snapshots", self.stream_snapshots or (), self.snapshots),
        ):
            if unknown := {*wanted} - {*known}:
                accepted = ", ".join(map(str, known))
                raise ValueError(f"{name}={min(unknown)}: must be one of {accepted}")
        return self

    @model_validator(mode="after")
    def _seeds_can_be_added(self) -> Self:
        if self.until_width is None:
            if self.max_seeds is not None:
                raise OptionError(
                    f"max_seeds={self.max_seeds}: must go with until_width, as until_width=0.05"
                )
            return self
        given = len(self.seeds)
        if self.most_seeds < given:
            raise OptionError(
                f"max_seeds={self.max_seeds}: must be at least {given}, the number of seeds given"
            )
        if max(self.seeds) + self.most_seeds - given > LAST_SEED:
            raise OptionError(
                f"seeds={max(self.seeds)}: must leave room for more seeds with until_width, up to "
                f"{LAST_SEED}"
            )
        masks = self.tickets if self.random_masks is None else self.random_masks
        for is_measured, needed in (
            (self.probe_tasks > 0, "probe_tasks of 1 or more, on which plasticity is measured"),
            (masks > 0, "random_masks of 1 or more, beside which tickets are measured"),
            (self.random_density is None, "random_density=none, as chance is measured at each "
             "sparsity"),
            (len(self.snapshots) > 1, "two snapshots or more, as it looks at changes"),
            (not facts_of(self).is_regression, "a dataset of classes, as it looks at accuracies"),
        ):  # fmt: skip
            if not is_measured:
                raise OptionError(f"until_width={self.until_width:g}: must go with {needed}")
        return self

    @model_validator(mode="after")
    def _shares_are_known_beforehand(self) -> Self:
        if self.share is not None and self.until_width is not None:
            raise OptionError(
                f"share={self.share}: must be given without until_width, as only the whole study "
                "says how many seeds it needs"
            )
        return self

    @property
    def most_seeds(self) -> int:
        """Seeds at which `until_width` stops adding."""
        return max(20, 4 * len(self.seeds)) if self.max_seeds is None else self.max_seeds

    def with_seeds(self, number: int) -> Self:
        """The same study with so many seeds: those that it has, and those after its largest."""
        first = max(self.seeds) + 1
        more = range(first, first + number - len(self.seeds))
        return self.model_copy(update={"seeds": (*self.seeds, *more)})

    @property
    def streamed_sparsities(self) -> tuple[float, ...]:
        """Sparsities whose tickets are trained on further tasks."""
        if self.stream_sparsities == "highest":
            return (max(self.sparsities),)
        return self.stream_sparsities or self.sparsities

    def rounds_for(self, sparsity: float, criterion: str | None = None) -> int:
        """Pruning rounds at a sparsity, with the study's criterion or another one.

        Raises:
            OptionError: there is a table of rounds that lacks it.
        """
        if not isinstance(self.rounds, dict):
            if self.rounds is not None:
                return self.rounds
            return customary_rounds(sparsity, criterion or self.criterion)
        if sparsity not in self.rounds:
            raise self._rounds_do_not_fit(self.rounds, [sparsity])
        return self.rounds[sparsity]

    @property
    def _probe_shift(self) -> str:
        return self.probe_shift or customary_probe_shift(self.shifts)

    @property
    def probe_classes(self) -> int | None:
        """Classes of each probe task, the fewest of those asked for; None without class_split."""
        if self._probe_shift != "class_split":
            return None
        return min(map(int, self._values_of("classes_per_task")))

    @functools.cached_property
    def _of_every_stream(self) -> dict[str, Any]:
        return self.model_dump(include=set(StreamRun.model_fields))

    @functools.cached_property
    def _of_every_search(self) -> dict[str, Any]:
        own = self.model_dump(include=set(TicketsRun.model_fields) - {"rounds"})
        probe_tasks = {"probe_shift": self._probe_shift, "probe_classes": self.probe_classes}
        return {**own, **probe_tasks}

    def stream_run(self, **searched: Any) -> StreamRun:
        """The stream run with these searched options."""
        return StreamRun.checked(**{**self._of_every_stream, **searched})

    def _with_searched(self, searched: Mapping[str, Any]) -> dict[str, Any]:
        """All options of searches; of plugins' those of the stream, and else the study's."""
        values = {**self._of_every_search, **searched}
        of_stream = searched.get("plugin_options")
        values["plugin_options"] = plugin_options.joined(self.plugin_options, of_stream)
        return values

    def measurement_runs(self, stream: StreamRun) -> list[MeasurementRun]:
        """The runs that measure a stream's snapshots."""
        return measurements(MeasurementRun, stream, self)

    def probe_runs(self, stream: StreamRun) -> list[ProbeRun]:
        """The run that trains a stream's snapshots on probe tasks, if there are any."""
        return probes(stream, self, self._probe_shift, self.probe_classes)

    def retraining_runs(self, stream: StreamRun) -> list[RetrainingRun]:
        """The run that trains pairs of copies of a stream's snapshots, if there are any."""
        return retrainings(stream, self, self.sparsities)

    def ticket_barrier_runs(self, search: TicketsRun) -> list[TicketBarrierRun]:
        """The run that measures barriers between a search's tickets, if there are any."""
        if not self.ticket_pairs:
            return []
        own = {"ticket_pairs": self.ticket_pairs, "barrier_points": self.barrier_points}
        run = TicketBarrierRun.checked(**{**search.model_dump(exclude={"plugins"}), **own})
        run.__dict__ |= {"search": search, "stream": search.stream}  # identities known already
        return [run]

    def tickets_run(self, **searched: Any) -> TicketsRun:
        """The tickets run with these searched options."""
        if "rounds" not in searched:
            of_point = searched.get("criterion")
            searched["rounds"] = self.rounds_for(searched["sparsity"], of_point)
        return TicketsRun.checked(**self._with_searched(searched))

    def ticket_stream_run(self, **searched: Any) -> TicketStreamRun:
        """The ticket stream run with these searched options."""
        search = {k: v for k, v in searched.items() if k in TicketsRun.model_fields}
        own = {k: v for k, v in searched.items() if k not in search}
        found = self.tickets_run(**search).model_dump(exclude={"plugins"})
        of_study = {name: getattr(self, name) for name in TicketStreamRun.growing}
        return TicketStreamRun.checked(**{**found, **of_study, **own})

    def ticket_measurement_runs(self, learner: TicketStreamRun) -> list[TicketMeasurementRun]:
        """The runs that measure a ticket stream's snapshots."""
        return measurements(TicketMeasurementRun, learner, self)
