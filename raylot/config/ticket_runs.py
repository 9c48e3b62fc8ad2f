"""The runs that search tickets, and that train them on further tasks: identity and cost."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from raylot.config.barrier_options import TicketBarrierOptions
from raylot.config.measurement_run import MeasuringRun
from raylot.config.on_probe_tasks import OnProbeTasks
from raylot.config.options import option, role_of
from raylot.config.plasticity_options import PlasticParameterOptions
from raylot.config.probe_options import SearchTaskOptions
from raylot.config.runs import StreamRun, compared_options, short_hash
from raylot.config.ticket_options import TicketOptions, TicketSearchOptions, TicketSnapshotOptions
from raylot.foundation import registry
from raylot.foundation.science import versions_of

Subnetwork = Literal["ticket", "dense", "random", "reinit"]

#: Criteria that score before training by a product of weights and what flows through later layers.
_STOPPED_BY_ZERO_HEAD = ("edge_popup", "snip", "synflow")

#: Options of a search that a dense network's own stream depends on, and those on which it depends
#: if it begins some steps after the snapshot.
_SEARCH_OF_DENSE = {"task", "rewind_steps"}
_REWINDING = {"search_task", "probe_shift", "probe_classes"}


class TicketsRun(OnProbeTasks, TicketSearchOptions, SearchTaskOptions, PlasticParameterOptions):
    """All tickets of one snapshot of one stream at one sparsity.

    Ticket k and network k of a control depend on k alone, so that more can be added later.
    """

    kind: ClassVar[str] = "tickets"
    growing: ClassVar[frozenset[str]] = frozenset(
        name
        for name, field in TicketOptions.model_fields.items()
        if role_of(field) in ("extent", "verdict")
    )

    task: int = option(0, "the snapshot's task", compared=True, ge=0, role="search")

    @model_validator(mode="after")
    def _search_fits_its_stream(self) -> Self:
        if self.task not in self.snapshots:
            raise ValueError(f"task={self.task}: must be one of the snapshots {self.snapshots}")
        fewest = self.fewest_steps_on_task_of(self.trained_shift, self.trained_classes)
        if self.rewind_steps > fewest:
            raise ValueError(
                f"rewind_steps={self.rewind_steps}: must be at most {fewest}, the training steps "
                "of one task"
            )
        if self.plastic_task == "unshifted" and self.trained_shift == "class_split":
            raise ValueError("plastic_task=unshifted: must be same with shift class_split")
        return self

    @model_validator(mode="after")
    def _flow_reaches_all_weights(self) -> Self:
        """Refuses SynFlow where a softmax stops the flow: most queries and keys would score 0."""
        if self.criterion == "synflow" and self.network == "vit":
            raise ValueError(
                "criterion=synflow: must be another with network vit, as the softmax of its "
                "attention stops the synaptic flow"
            )
        return self

    @model_validator(mode="after")
    def _signal_passes_the_head(self) -> Self:
        """Refuses criteria that score all weights alike, or at random, under a head of zeros."""
        has_zero_head = self.head_reset == "zero" and self.task > 0 and not self.rewind_steps
        if has_zero_head and self.criterion in _STOPPED_BY_ZERO_HEAD:
            raise ValueError(
                f"criterion={self.criterion}: must be another with head_reset zero, or "
                "rewind_steps be above 0: no gradient passes a head of zeros"
            )
        return self

    @model_validator(mode="after")
    def _controls_follow_their_tickets(self) -> Self:
        """Refuses a network of a control that would follow another ticket in a wider search."""
        follow = ["untrained_masks", "rewired_masks", "reinit_tickets", "supermasks"]
        if self.scope == "global" or self.rewind_steps:  # else all tickets have equal densities
            follow.append("random_masks")
        for name in follow:
            if getattr(self, name) > self.tickets:
                raise ValueError(
                    f"{name}={getattr(self, name)}: must be at most tickets={self.tickets}, as "
                    "each of them follows a ticket of its own"
                )
        return self

    @functools.cached_property
    def run_id(self) -> str:
        others = (StreamRun.model_fields.keys() | self.growing) - {"versions"}
        own = self.identity(type(self).model_fields.keys() - others)
        criterion = ("criterion", self.criterion)
        if code := registry.only(self.plugins, [("shift", str(self.probe_shift)), criterion]):
            own["plugins"] = code
        if options := registry.only(self.plugin_options, [criterion]):
            own["plugin_options"] = options
        return short_hash({"kind": self.kind, "stream": self.stream.run_id, **own})

    @property
    def parent(self) -> StreamRun:
        return self.snapshot_stream

    @property
    def snapshot_stream(self) -> StreamRun:
        """The stream, as far as this run needs it."""
        return self.stream.model_copy(update={"tasks": self.task + 1, "snapshots": (self.task,)})

    @property
    def uses_probe_tasks(self) -> bool:
        return self.search_task == "probe"

    @property
    def measures_plasticity_apart(self) -> bool:
        """Whether plastic parameters need a dense training of their own."""
        return self.plastic_task != "same" or self.plastic_scaling not in ("same", self.scaling)

    @property
    def training_steps(self) -> int:
        rewinding = self.rewind_steps * self.tickets
        trainings = self.trainings + self.measures_plasticity_apart
        return trainings * self.steps_per_training + rewinding

    @property
    def label(self) -> str:
        return f"{super().label} task={self.task} sparsity={self.sparsity:g}"


def stream_of_search(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns tasks and snapshots of a stream with which a search's options are complete.

    A search does not depend on them, so its row of ``runs`` lacks them.
    """
    if "task" not in options:
        return {}
    return {"tasks": options["task"] + 1, "snapshots": (options["task"],)}


def customary_ticket_snapshots(tasks: int) -> tuple[int, ...]:
    """Returns the first, the 10th, the 100th ... of a number of new tasks, counted from 0.

    A longer ticket stream has the snapshots of a shorter one, so that it can grow from it.
    """
    return tuple(10**power - 1 for power in range(len(str(tasks))))


class TicketStreamRun(TicketsRun, TicketSnapshotOptions):
    """Continual learning of one subnetwork of a snapshot, on the tasks that follow it."""

    kind: ClassVar[str] = "ticket_stream"
    growing: ClassVar[frozenset[str]] = frozenset({"ticket_tasks", "ticket_snapshots"})
    prefix: ClassVar[str] = "ticket_"

    subnetwork: Subnetwork = option(
        "ticket", "a ticket, the dense network, a random mask (as the search's control), or the "
        "ticket from a fresh initialisation", compared=True, role="search",
    )  # fmt: skip
    ticket: int = option(
        0, "which ticket of the snapshot, or which random draw", compared=True, ge=0, role="search"
    )
    ticket_tasks: int = option(
        10, "new tasks, from the one after the snapshot's", ge=1, role="extent"
    )

    @model_validator(mode="after")
    def _customary_snapshots(self) -> Self:
        if self.ticket_snapshots is None:
            tasks = customary_ticket_snapshots(self.ticket_tasks)
            self.__dict__["ticket_snapshots"] = tasks
        return self

    @model_validator(mode="after")
    def _ticket_was_searched(self) -> Self:
        if self.ticket >= self.tickets:
            raise ValueError(f"ticket={self.ticket}: must be less than tickets={self.tickets}")
        return self

    @model_validator(mode="after")
    def _dense_network_needs_no_criterion(self) -> Self:
        """So that its worker needs no plugin's criterion, and its row names none."""
        if self.subnetwork == "dense":
            self.__dict__["criterion"] = type(self).model_fields["criterion"].default
            for name in ("plugins", "plugin_options"):
                self.__dict__[name] = registry.without(getattr(self, name), {"criterion"})
        return self

    @functools.cached_property
    def search(self) -> TicketsRun:
        """The run that found the ticket."""
        return _search_of(self)

    @property
    def learner(self) -> StreamRun:
        return self

    @property
    def first_task(self) -> int:
        return self.task + 1

    @functools.cached_property
    def run_id(self) -> str:
        own = self.identity({"subnetwork", "ticket"})
        if self.subnetwork == "dense":  # it does not depend on the search
            own |= self.identity(self._search_of_dense) | {"stream": self.stream.run_id}
            if self.rewind_steps and (code := self.code_of_probe_shift):
                own["plugins"] = code
        else:
            own["tickets"] = self.search.run_id
        return short_hash({"kind": self.kind, **own})

    @property
    def _search_of_dense(self) -> set[str]:
        return _SEARCH_OF_DENSE | (_REWINDING if self.rewind_steps else set())

    @property
    def unused_options(self) -> set[str]:
        not_used = super().unused_options | TicketsRun.growing
        if self.subnetwork != "dense":
            return not_used
        of_search = set(TicketsRun.model_fields) - set(StreamRun.model_fields)
        return not_used | of_search - self._search_of_dense | {"ticket"}

    @property
    def parent(self) -> StreamRun:
        return self.snapshot_stream if self.subnetwork == "dense" else self.search

    @property
    def training_steps(self) -> int:
        return self.ticket_tasks * self.training_steps_per_task

    @property
    def label(self) -> str:
        if self.subnetwork == "dense":
            place = f"{self.stream.label} task={self.task}"
        else:
            place = self.search.label
        return f"{self.kind} {place.partition(' ')[2]} {self.subnetwork}"


class TicketBarrierRun(TicketsRun, TicketBarrierOptions):
    """Pairs of the tickets of one search, trained once more for the barriers between them.

    Pair p is of tickets 2p and 2p + 1, so that more can be added later.
    """

    kind: ClassVar[str] = "ticket_barriers"
    growing: ClassVar[frozenset[str]] = frozenset({"ticket_pairs"})

    @model_validator(mode="after")
    def _tickets_were_searched(self) -> Self:
        if 2 * self.ticket_pairs > self.tickets:
            raise ValueError(
                f"ticket_pairs={self.ticket_pairs}: must be at most {self.tickets // 2}, as there "
                f"are {self.tickets} tickets"
            )
        return self

    @functools.cached_property
    def search(self) -> TicketsRun:
        """The run that found the tickets."""
        return _search_of(self)

    @functools.cached_property
    def run_id(self) -> str:
        own = self.identity({"barrier_points"})
        if version := versions_of([("measurement", self.kind)]):
            own["versions"] = version
        return short_hash({"kind": self.kind, "tickets": self.search.run_id, **own})

    @property
    def unused_options(self) -> set[str]:
        return super().unused_options | TicketsRun.growing

    @property
    def parent(self) -> StreamRun:
        return self.search

    @property
    def training_steps(self) -> int:
        return 2 * self.ticket_pairs * (self.steps_per_training + self.rewind_steps)


def _search_of(run: TicketsRun) -> TicketsRun:
    """Returns the search on whose tickets a run stands."""
    own = run.model_dump(include=set(TicketsRun.model_fields))
    own["plugins"] = registry.without(run.plugins, {"metric"})
    return TicketsRun(**own)


class TicketMeasurementRun(MeasuringRun, TicketStreamRun):
    """One measurement of all snapshots of a ticket stream."""

    kind: ClassVar[str] = "ticket_measurement"
    growing: ClassVar[frozenset[str]] = frozenset({"ticket_snapshots"})

    @functools.cached_property
    def learner(self) -> StreamRun:
        options = {name: getattr(self, name) for name in TicketStreamRun.model_fields}
        options["plugins"] = registry.without(self.plugins, {"metric"})
        return TicketStreamRun(**options)


#: What a study compares; runs that differ in anything else are not comparable.
PROTOCOL_EXCLUDES = compared_options(TicketStreamRun)
