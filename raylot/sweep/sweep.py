"""From a search space in Ray Tune's terms to finished runs in the storage.

A sweep is a sequence of stages, each a Tune experiment over the runs that are still missing. The
storage alone says which are: repeating a command continues it.

Ray and torch take seconds to import, so the functions that need them import them: a command with
nothing to do ends without them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cached_property

from raylot import results
from raylot.config import StreamRun, Study, mnist_files
from raylot.foundation import registry
from raylot.foundation.errors import OptionError
from raylot.foundation.text import is_exit_request
from raylot.results.commands import record
from raylot.results.integrity import inspect
from raylot.storage import OutOfReachError, Storage
from raylot.storage.lease import Lease
from raylot.sweep.outcome import CONTINUE, Outcome, outcome
from raylot.sweep.planning import Planning
from raylot.sweep.space import Space, distinct, points
from raylot.sweep.stage import Stage
from raylot.sweep.watch import Watch
from raylot.terminal.progress import Progress

#: Runs of one sweep: planning that many takes some minutes and some GB.
MOST_RUNS = 200_000


@dataclass(frozen=True)
class Sweep:
    """Streams, the tickets of their snapshots, and the tickets' own streams if asked for.

    Attributes:
        study: the options that are not searched over.
        storage: where results are and go.
        stream_space: search space over options of a stream run.
        ticket_space: search space over ``task`` (the snapshot) and options of a tickets run.
        ticket_stream_space: search space over ``subnetwork``, ``ticket`` and ``ticket_tasks``;
            used if the study's ``ticket_tasks`` is not 0.
        samples: draws of what is random in the spaces.
    """

    study: Study
    storage: Storage
    stream_space: Space
    ticket_space: Space
    ticket_stream_space: Space = field(default_factory=dict)
    samples: int = 1

    @cached_property
    def stages(self) -> list[Stage]:
        """All runs, in the order in which stages need each other.

        Raises:
            OptionError: a point of the space is no valid run.
        """
        spaces = (self.stream_space, self.ticket_space, self.ticket_stream_space)
        for earlier, later in ((0, 1), (0, 2), (1, 2)):
            for name in sorted(set(spaces[earlier]) & set(spaces[later])):
                raise OptionError(
                    f"{name}={spaces[later][name]}: must be searched in one of the spaces only"
                )
        stream_points, ticket_points, ticket_stream_points = (
            list(itertools.islice(points(space, self.samples), MOST_RUNS + 1)) for space in spaces
        )
        self._check_number(len(stream_points) * (1 + len(ticket_points)))
        planning = Planning()
        streams = distinct(
            self.study.stream_run(**point) for point in planning.of("streams", stream_points)
        )
        searches = itertools.product(streams, ticket_points)
        tickets = distinct(
            self.study.tickets_run(**stream.model_dump(include=set(self.stream_space)), **point)
            for stream, point in planning.of("tickets", searches, len(streams) * len(ticket_points))
        )
        known = {stream.run_id for stream in streams}
        for run in tickets:
            if run.stream.run_id not in known:
                names = sorted(set(self.ticket_space) & set(StreamRun.model_fields))
                raise OptionError(
                    f"ticket_space={', '.join(names)}: must not hold options of a stream; "
                    "search these in stream_space"
                )
        stages = [Stage("streams", streams), Stage("tickets", tickets)]
        if self.study.ticket_tasks:
            searched = {*self.stream_space, *self.ticket_space}
            snapshots = set(self.study.stream_snapshots or self.study.snapshots)
            continued = [
                ticket
                for ticket in tickets
                if ticket.task in snapshots and ticket.sparsity in self.study.streamed_sparsities
            ]
            number = len(continued) * len(ticket_stream_points)
            self._check_number(len(streams) + len(tickets) + number)
            both = itertools.product(continued, ticket_stream_points)
            ticket_streams = distinct(
                self.study.ticket_stream_run(**ticket.model_dump(include=searched), **point)
                for ticket, point in planning.of("ticket streams", both, number)
            )
            stages.append(Stage("ticket streams", ticket_streams))
        return stages

    def _check_number(self, runs: int) -> None:
        if runs > MOST_RUNS:
            spaces = (self.stream_space, self.ticket_space, self.ticket_stream_space)
            names = ", ".join(name for space in spaces for name in space)
            raise OptionError(
                f"{runs:,} runs or more: must be at most {MOST_RUNS:,} in one sweep; search fewer "
                f"values of {names}"
            )

    def plan(self) -> str:
        """What would run: per stage the runs, those that ended well, and the steps left."""
        lines = [f"{'stage':<15}{'runs':>8}{'finished':>10}{'to run':>8}{'steps per run':>21}"
                 f"{'steps to run':>16}"]  # fmt: skip
        failed = self._failed(self.storage) - self._damaged
        for stage in self.stages:
            missing = self._to_run(stage)
            unfinished = (
                {run.run_id for run in stage.missing(self.storage)} | self._damaged | failed
            )
            costs = sorted({run.training_steps for run in stage.runs})
            per_run = f"{costs[0]:,}" + (f"-{costs[-1]:,}" if len(costs) > 1 else "")
            todo = sum(run.training_steps for run in missing)
            lines.append(
                f"{stage.name:<15}{len(stage.runs):>8,}"
                f"{sum(run.run_id not in unfinished for run in stage.runs):>10,}"
                f"{len(missing):>8,}{per_run:>21}{todo:>16,}"
            )
        if failed:
            lines.append(f"{len(failed)} runs have failed: --retry-failed computes them again.")
        if self._damaged:
            lines.append(f"{len(self._damaged)} runs had ended, and are damaged: they run again.")
        return "\n".join(lines)

    def prediction(self) -> str:
        """How long what would run takes on this machine, measured by training for some seconds."""
        runs = [self._to_run(stage) for stage in self.stages]
        if not any(runs):
            return "Nothing is left to compute."
        if self.study.download and self.study.dataset != "digits":
            return "Not predicted: the data set might have to be downloaded."
        if self.study.gpus_per_trial:
            return "Not predicted: trials run on GPUs, and here only this machine's CPU is tried."
        from raylot.sweep.prediction import predicted, trials_on_this_machine

        at_once = trials_on_this_machine(self.study.cpus_per_trial, self.study.max_concurrent)
        try:
            return predicted(runs, at_once)
        except OptionError:
            raise
        except BaseException as error:  # of a plugin: its runs alone would fail
            if is_exit_request(error):
                raise
            return f"Not predicted: a training failed ({registry.describe_error(error)})."

    def check(self) -> list[str]:
        """Makes sure of everything that can be known before Ray starts.

        Returns:
            What the user should know, a line each.

        Raises:
            OptionError: data cannot be loaded, storage not written, a run is not valid, a logger
                not used, a plugin's network not trained or pruned.
        """
        assert self.stages
        remarks = self.check_inputs()
        from raylot.sweep.loggers import check_logger

        check_logger(self.study, self.storage)
        self.storage.check_writable()
        return remarks

    def check_inputs(self) -> list[str]:
        """Makes sure that the data set is there, and plugins' networks can be trained and pruned.

        Returns:
            Which weights of these networks are not pruned, a line per network.

        Raises:
            OptionError: they are not.
        """
        mnist_files.check_there(self.study)  # before torch is imported
        from raylot.sweep.plugin_networks import check_plugin_networks
        from raylot.tasks import datasets
        from raylot.training import check_engine

        datasets.check_available(self.study)
        return [*check_engine(self.study.engine), *check_plugin_networks(self.stages[0].runs)]

    def is_finished(self, *, retry_failed: bool = False) -> bool:
        """Whether nothing is left to compute, as the storage says at this moment.

        Args:
            retry_failed: whether runs that ended with an error count as missing.
        """
        return not self._is_to_do(Storage.again(self.storage.root), retry_failed)

    def outcome(self) -> Outcome:
        """How the runs stand, as the storage says at this moment."""
        return outcome(self.stages, self.storage, False, [])

    def run(self, *, retry_failed: bool = False, command: str = "") -> Outcome:
        """Computes all missing runs, stage by stage.

        What has been damaged since it was written is computed again. A run that fails is recorded,
        and the rest goes on.

        Args:
            retry_failed: whether runs that ended with an error count as missing.
            command: what it was started by, for the record; empty: by no command.

        Raises:
            OptionError: another sweep is in charge of the storage, or the cluster cannot be
                reached or can never grant what a trial asks for.
        """
        progress = Progress()
        lost: list[str] = []
        interrupted = False
        try:
            with Watch(CONTINUE, before_end=progress.stop) as watch:
                if self._is_to_do(self.storage, retry_failed):
                    from raylot.sweep.cluster import check_address

                    check_address(self.study)
                    # Its own storage does not wait: it tells others whether this sweep is alive.
                    lease = Lease(
                        Storage.again(self.storage.root), progress.note, watch.lost_storage
                    )
                    with lease, progress:
                        if command:
                            record(self.storage, command)
                        lost = self._execute(retry_failed, lease, progress, watch)
                interrupted = watch.is_interrupted
        except KeyboardInterrupt:
            interrupted = True
        if not interrupted:
            return outcome(self.stages, self.storage, False, lost)
        try:  # without patience: a user who interrupts does not want to wait
            return outcome(self.stages, Storage.again(self.storage.root), True, lost)
        except OutOfReachError:
            raise KeyboardInterrupt from None

    def _is_to_do(self, storage: Storage, retry_failed: bool) -> bool:
        if any(stage.ready(storage) for stage in self.stages):
            return True
        return bool(inspect(storage, self._planned).damages) or (
            retry_failed and bool(self._failed(storage))
        )

    def _execute(
        self, retry_failed: bool, lease: Lease, progress: Progress, watch: Watch
    ) -> list[str]:
        """Computes what is missing or damaged; returns why the rest was given up.

        It looks for that only now that it is in charge: another sweep may have been at work before.
        """
        from raylot.sweep.cluster import StartError, ray_session
        from raylot.sweep.execution import Execution

        spaces = (self.stream_space, self.ticket_space, self.ticket_stream_space)
        searched = {name for space in spaces for name in space}
        execution = Execution(
            self.stages, self.storage, self.study, searched, lease.path, progress, watch
        )
        execution.repair(inspect(self.storage, self._planned).damages)
        if retry_failed:
            results.forget_runs(self.storage, self._failed(self.storage))
        if not any(stage.ready(self.storage) for stage in self.stages):
            return []
        try:
            with ray_session(self.study, watch, progress.note):
                return execution.run()
        except StartError as error:
            return [str(error)]

    def _to_run(self, stage: Stage) -> list[StreamRun]:
        damaged = [run for run in stage.runs if run.run_id in self._damaged]
        return stage.to_compute(self.storage) + damaged

    @cached_property
    def _damaged(self) -> set[str]:
        """The ended runs that must run again, as the storage was when this was first asked."""
        return set(inspect(self.storage, self._planned).to_compute_again)

    @cached_property
    def _planned(self) -> set[str]:
        return {run.run_id for stage in self.stages for run in stage.runs}

    def _failed(self, storage: Storage) -> set[str]:
        """Runs that ended with an error."""
        runs = results.read(storage, "runs", ["run_id", "status"])
        failed = runs["run_id"][(runs["status"] == "failed") & runs["run_id"].isin(self._planned)]
        return set(failed)
