"""From a search space in Ray Tune's terms to finished runs in the storage.

A sweep is a sequence of stages. Each is computed by Tune experiments over the runs that are still
missing. The storage alone says which are: repeating a command continues it.

Ray and torch take seconds to import, so the functions that need them import them: a command with
nothing to do ends without them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import track

from raylot import datasets
from raylot.config import BarrierOptions, StreamRun, Study
from raylot.config.plasticity_options import MeasuresOptions
from raylot.config.probe_options import ProbeTaskOptions
from raylot.config.runs import VERDICTS, short_hash
from raylot.config.search_axes import is_of_streams, options_of
from raylot.config.share import Share
from raylot.foundation import registry
from raylot.foundation.errors import OptionError, shown
from raylot.foundation.text import is_exit_request
from raylot.results.commands import record
from raylot.results.environment import record_environment
from raylot.results.integrity import Inspection, ended_runs, inspect, inspect_ends
from raylot.results.manifest import Manifest
from raylot.results.tables import check_version
from raylot.storage import OutOfReachError, Storage
from raylot.storage.lease import Lease
from raylot.sweep.interrupt_guard import InterruptGuard
from raylot.sweep.outcome import CONTINUE, Outcome, outcome
from raylot.sweep.ray_start import RayStart, is_ray_started
from raylot.sweep.space import Space, distinct, options_in, points, remarks
from raylot.sweep.stage import Stage
from raylot.terminal.progress import Progress

Item = TypeVar("Item")

#: Runs of one sweep, or of its share of a study: planning that many takes some minutes and some GB.
#: Each share plans the streams of all, to deal them out.
MOST_RUNS = 200_000

#: Runs, most of which measure alone, that take no longer than Ray needs to start.
_FEW = 20

#: Runs of a kind whose planning takes some seconds, so that the user is shown how far it has come.
_LONG = 5_000


@dataclass(frozen=True)
class Sweep:
    """Streams, measurements and tickets of their snapshots, and the tickets' own streams if asked
    for.

    Attributes:
        study: the options that are not searched over.
        storage: where results are and go.
        stream_space: search space over options of a stream run.
        ticket_space: search space over ``task`` (the snapshot) and options of a tickets run.
        ticket_stream_space: search space over ``subnetwork``, ``ticket`` and ``ticket_tasks``;
            used if the study's ``ticket_tasks`` is not 0.
        only: names of the stages that are computed; None: all.
    """

    study: Study
    storage: Storage
    stream_space: Space
    ticket_space: Space
    ticket_stream_space: Space = field(default_factory=dict)
    only: Collection[str] | None = None
    # The runs that had ended when `finished` looked, and the Ray that starts while `check` checks.
    _ended: dict[str, Manifest] = field(default_factory=dict, init=False)
    _starts: list[RayStart] = field(default_factory=list, init=False)

    @cached_property
    def stages(self) -> list[Stage]:
        """All runs, in the order in which stages need each other.

        Raises:
            OptionError: a point of the space is no valid run.
        """
        every = self._every_stage
        return [stage for stage in every if self.only is None or stage.name in self.only]

    @cached_property
    def _every_stage(self) -> list[Stage]:
        """The stages of a study.

        Raises:
            OptionError: a point of the space is no valid run.
        """
        named = [name for space in self._spaces for name in options_in(space)]
        for name in sorted({name for name in named if named.count(name) > 1}):
            raise OptionError(f"{self._asked(name)}: must be searched in one of the spaces only")
        for name in sorted(VERDICTS.intersection(named)):
            raise OptionError(
                f"{self._asked(name)}: must be an option of the study, not searched, as it judges "
                "all searches alike"
            )
        measuring = (MeasuresOptions, ProbeTaskOptions, BarrierOptions)
        for name in sorted({name for options in measuring for name in options.model_fields}):
            if name in named:
                raise OptionError(
                    f"{self._asked(name)}: must be an option of the study, not searched; another "
                    "command adds what another value measures"
                )
        ticket_points, ticket_stream_points = map(
            _first_points, (self.ticket_space, self.ticket_stream_space)
        )
        shares = 1 if self.share is None else self.share.of
        self._check_number(len(self._stream_points) // shares * (2 + len(ticket_points)))
        self._check_number(len(self._stream_points), "streams in all shares")
        streams = self._all_streams
        if self.share is not None:
            streams = self.share.dealt(streams)
        of_streams = {*options_in(self.stream_space), "plugin_options"}
        searches = itertools.product(streams, ticket_points)
        number = len(streams) * len(ticket_points)
        tickets = distinct(
            self.study.tickets_run(**stream.model_dump(include=of_streams), **point)
            for stream, point in _with_progress("tickets", searches, number)
        )
        known = {stream.run_id for stream in streams}
        for run in tickets:
            if run.stream.run_id not in known:
                names = sorted(filter(is_of_streams, options_in(self.ticket_space)))
                raise OptionError(
                    f"ticket_space={', '.join(names)}: must not hold options of a stream; "
                    "search these in stream_space"
                )
        probes = [run for stream in streams for run in self.study.probe_runs(stream)]
        measurements = [run for stream in streams for run in self.study.measurement_runs(stream)]
        pairs = [run for stream in streams for run in self.study.retraining_runs(stream)]
        barriers = [run for search in tickets for run in self.study.ticket_barrier_runs(search)]
        number = len(streams) + len(probes) + len(measurements) + len(tickets)
        number += len(pairs) + len(barriers)
        self._check_number(number)
        stages = [
            Stage("streams", streams),
            *([Stage("probes", probes)] if probes else []),
            *([Stage("retrainings", pairs)] if pairs else []),
            Stage("measurements", measurements),
            Stage("tickets", tickets),
            *([Stage("ticket barriers", barriers)] if barriers else []),
        ]
        if self.study.ticket_tasks:
            searched = of_streams.union(options_in(self.ticket_space))
            snapshots = set(self.study.stream_snapshots or self.study.snapshots)
            continued = [
                ticket
                for ticket in tickets
                if ticket.task in snapshots and ticket.sparsity in self.study.streamed_sparsities
            ]
            more = len(continued) * len(ticket_stream_points)
            self._check_number(number + 2 * more)
            both = itertools.product(continued, ticket_stream_points)
            ticket_streams = distinct(
                self.study.ticket_stream_run(**ticket.model_dump(include=searched), **point)
                for ticket, point in _with_progress("ticket streams", both, more)
            )
            measured = [
                run for each in ticket_streams for run in self.study.ticket_measurement_runs(each)
            ]
            self._check_number(number + len(ticket_streams) + len(measured))
            stages += [
                Stage("ticket streams", ticket_streams),
                Stage("ticket measurements", measured),
            ]
        return stages

    @cached_property
    def _stream_points(self) -> list[dict[str, Any]]:
        return _first_points(self.stream_space)

    @cached_property
    def _all_streams(self) -> list[StreamRun]:
        """The streams of the study, those of other shares too."""
        each = _with_progress("streams", self._stream_points, len(self._stream_points))
        return distinct(self.study.stream_run(**point) for point in each)

    @property
    def share(self) -> Share | None:
        """The share of the study that this sweep computes; None: all of it."""
        return None if self.study.share is None else Share.parse(self.study.share)

    def plan(self) -> str:
        """Says what would run: per stage what is there, new or to grow, and the steps to train.

        A ticket search that only gets another verdict grows by no step, and a measurement never
        trains.
        """
        check_version(self.storage)
        lines = []
        if self.share is not None:
            own, every = len(self.share.dealt(self._all_streams)), len(self._all_streams)
            lines.append(f"Share {self.share}: {own} of {every} streams, and what stands on them.")
        lines += [f"{'stage':<20}{'runs':>8}{'finished':>10}{'new':>8}{'to grow':>9}"
                 f"{'steps per run':>20}{'steps to train':>16}"]  # fmt: skip
        ended = self._inspection.undamaged
        for stage in self.stages:
            left = stage.work(ended, self.storage)
            growing = sum(run.run_id in ended for run, _ in left)
            costs = sorted({run.training_steps for run in stage.runs}) or [0]
            per_run = f"{costs[0]:,}" + (f"-{costs[-1]:,}" if len(costs) > 1 else "")
            lines.append(
                f"{stage.name:<20}{len(stage.runs):>8,}{stage.count(ended)[0]:>10,}"
                f"{len(left) - growing:>8,}{growing:>9,}{per_run:>20}"
                f"{sum(steps for _, steps in left):>16,}"
            )
        if failed := sum(run.status == "failed" for run in ended.values()):
            lines.append(f"{failed} runs have failed: --retry-failed computes them again.")
        if damaged := len(self._inspection.to_compute_again):
            lines.append(f"{damaged} runs had ended, and are damaged: they run again.")
        return "\n".join(lines)

    def prediction(self, say: Callable[[str], None] = lambda line: None) -> str:
        """Says how long the missing runs take on this machine; trains for seconds to measure it.

        Args:
            say: is told what takes long, before it begins.
        """
        ended = self._inspection.undamaged
        work = [stage.work(ended, self.storage) for stage in self.stages]
        if not any(work):
            return "Nothing is left to compute."
        if not any(steps for left in work for _, steps in left):
            stages = zip(self.stages, work, strict=True)
            counts = [f"{len(left)} {stage.name}" for stage, left in stages if left]
            return f"Nothing is left to train; runs without training: {', '.join(counts)}."
        if self.study.download and datasets.find(self.study.dataset).can_download:
            return "Not predicted: the data set might have to be downloaded."
        if self.study.gpus_per_trial:
            return "Not predicted: trials run on GPUs, and here only this machine's CPU is tried."
        say("measuring how fast this machine trains ...")
        from raylot.sweep.prediction import predicted, trials_on_this_machine

        at_once = None
        if not self.study.local:
            at_once = trials_on_this_machine(self.study.cpus_per_trial, self.study.max_concurrent)
        try:
            return predicted(work, at_once)
        except OptionError:
            raise
        except BaseException as error:  # of a plugin: its runs alone would fail
            if is_exit_request(error):
                raise
            return f"Not predicted: a training failed ({registry.describe_error(error)})."

    def check(
        self, *, then_runs: bool = False, say: Callable[[str], None] = lambda line: None
    ) -> list[str]:
        """Checks everything that can be known before anything trains.

        Args:
            then_runs: whether `run` comes next, so that Ray may start meanwhile. A Ctrl-C must then
                end the process: raised within an import, it may hold Python's imports up for good.
            say: is told what takes long, before it begins.

        Returns:
            Remarks for the user, a line each.

        Raises:
            OptionError: data cannot be loaded, the storage not written, a run is not valid, a
                logger not used, a plugin's network not trained or pruned.
        """
        assert self.stages
        # These checks take no time: they tell a mistake before Ray starts.
        datasets.find(self.study.dataset).check_there(self.study)
        if self.study.logger != "none":
            from raylot.sweep.loggers import check_logger

            check_logger(self.study, self.storage)
        self.storage.check_writable()
        if then_runs:
            self._lease().check_free()
        joins_cluster = self._names_cluster and self.study.cluster_address != "local"
        try:
            needs_ray = then_runs and not joins_cluster and not self._needs_no_workers(self._ended)
            if needs_ray and not is_ray_started():
                say("starting or joining Ray ...")
                self._start_ray(self._ended)
            return self.check_inputs(say)
        except BaseException:
            self._leave_ray()
            raise

    def _start_ray(self, ended: Mapping[str, Manifest]) -> RayStart | None:
        """Begins to join or start a Ray, if that has not begun; returns None for the user's own."""
        if not self._starts and not is_ray_started():
            at_once = max(len(stage.missing(ended)) for stage in self.stages)
            self._starts.append(RayStart(self.study, at_once))
            self._starts[0].begin()
        return self._starts[0] if self._starts else None

    def _leave_ray(self) -> None:
        while self._starts:
            self._starts.pop().leave()

    def check_inputs(self, say: Callable[[str], None] = lambda line: None) -> list[str]:
        """Checks that the data set is there, and that networks go with data and interventions.

        Args:
            say: is told what takes long, before it begins.

        Returns:
            Remarks for the user: which parameters are not used, that the fast engine is missing,
            and which weights of these networks are not pruned.

        Raises:
            OptionError: a data set is not there, a plugin's network cannot be trained or pruned, or
                an intervention cannot act on a network.
        """
        datasets.find(self.study.dataset).check_there(self.study)  # before torch is imported
        say("checking networks ...")
        from raylot.sweep.methods_on_networks import check_methods_on_networks
        from raylot.sweep.plugin_networks import check_plugin_networks
        from raylot.tasks.datasets import check_available
        from raylot.training import check_engine

        check_available(self.study)
        streams = self.stages[0].runs or self._all_streams  # some shares may have none
        said = [*remarks(self.study, streams), *check_engine(self.study.engine)]
        said += check_plugin_networks(streams)
        check_methods_on_networks(streams)
        return said

    def finished(self, *, retry_failed: bool = False) -> Outcome | None:
        """Returns how the runs stand if nothing is left to compute, else None.

        Args:
            retry_failed: whether runs that ended with an error count as missing.
        """
        storage = Storage.again(self.storage.root)  # what it holds now, without waiting for it
        check_version(storage)
        found = inspect_ends(storage, self._planned)
        self._ended.update(found.runs)
        is_retrying = retry_failed and any(run.status == "failed" for run in found.runs.values())
        if is_retrying or any(stage.ready(found.runs, storage) for stage in self.stages):
            return None
        if inspect(storage, self._planned, ends=found).damages:
            return None
        return outcome(self.stages, found.runs, self.storage)

    def run(
        self, *, retry_failed: bool = False, command: str = "", may_end_process: bool = True
    ) -> Outcome:
        """Computes all missing runs, stage by stage.

        Files that have been damaged since they were written are computed again. A run that fails is
        recorded, and the rest goes on.

        Args:
            retry_failed: whether runs that ended with an error count as missing.
            command: the command line that started the sweep, for the record; empty: there is none.
            may_end_process: whether a second Ctrl-C, and the loss of Ray, may end this process.

        Raises:
            OptionError: another sweep is in charge of the storage, or the cluster cannot be
                reached or can never grant what a trial asks for.
        """
        progress, is_interrupted = Progress(), False
        try:
            with InterruptGuard(
                CONTINUE, before_end=progress.stop, may_end_process=may_end_process
            ) as guard:
                if self._names_cluster:
                    from raylot.sweep.joining import check_address  # imports Ray

                    check_address(self.study)
                lease = self._lease(progress.note, guard.lost_storage)
                with lease, progress:
                    if command:
                        adds_seeds = self.study.until_width is not None
                        record(self.storage, command, adds_seeds=adds_seeds)
                    record_environment(self.storage, is_share=self.share is not None)
                    ended, lost = self._execute(retry_failed, lease, progress, guard)
                is_interrupted = guard.is_interrupted
        except KeyboardInterrupt:
            is_interrupted = True
        finally:
            self._leave_ray()
        if not is_interrupted:
            return outcome(self.stages, ended, self.storage, lost)
        try:  # without patience: a user who interrupts does not want to wait
            hasty = Storage.again(self.storage.root)
            return outcome(self.stages, ended_runs(hasty, self._planned), hasty, interrupted=True)
        except OutOfReachError:
            raise KeyboardInterrupt from None

    def _lease(
        self,
        say: Callable[[str], None] = lambda line: None,
        on_loss: Callable[[], None] = lambda: None,
    ) -> Lease:
        # This storage does not wait: the lease tells others that this sweep lives.
        storage = Storage.again(self.storage.root)
        if self.share is None:
            return Lease(storage, say, on_loss)
        study = short_hash({"streams": [run.run_id for run in self._all_streams]})
        return Lease(storage, say, on_loss, str(self.share), study)

    def _execute(
        self, retry_failed: bool, lease: Lease, progress: Progress, guard: InterruptGuard
    ) -> tuple[Mapping[str, Manifest], list[str]]:
        """Computes the runs that are missing or damaged.

        Inspects the storage once more, now that this sweep is in charge: another may have worked
        there before.

        Returns:
            The runs that have ended, and why the others were given up.
        """
        from raylot.sweep.execution import Execution

        found = inspect(self.storage, self._planned)
        execution = Execution(
            stages=self.stages,
            storage=self.storage,
            options=self.study,
            searched={name for space in self._spaces for name in options_in(space)},
            lease=lease.path,
            progress=progress,
            guard=guard,
            ended=found.runs,
        )
        execution.repair(found.damages)
        if retry_failed:
            execution.retry_failed()
        if not any(stage.ready(execution.ended, self.storage) for stage in self.stages):
            return execution.ended, execution.reasons
        if self._needs_no_workers(execution.ended):
            from raylot.sweep import in_process

            lost = execution.run(in_process.compute)
            return execution.ended, lost
        from raylot.sweep import experiment
        from raylot.sweep.cluster import ray_session
        from raylot.sweep.joining import StartError

        start = self._start_ray(execution.ended)

        try:
            with ray_session(self.study, guard, progress.note, start):
                lost = execution.run(experiment.compute)
        except StartError as error:
            lost = [str(error)]
        return execution.ended, lost

    def _needs_no_workers(self, ended: Mapping[str, Manifest]) -> bool:
        """Returns whether this process computes the runs: that is asked for, or workers are no use.

        They are of no use where no two runs that train could be computed at once, and few measure.
        A user who names a cluster or a logger, which Ray calls, or asks for a GPU has the runs
        computed there all the same.
        """
        study = self.study
        if study.local:
            return True
        is_elsewhere = self._names_cluster or is_ray_started()
        if is_elsewhere or study.logger != "none" or study.gpus_per_trial:
            return False
        left = [stage.work(ended, self.storage) for stage in self.stages]
        at_once = max(sum(steps > 0 for _, steps in runs) for runs in left)
        return at_once < 2 and sum(map(len, left)) <= _FEW

    @property
    def _names_cluster(self) -> bool:
        return not self.study.local and bool(self.study.cluster_address)

    def _check_number(self, number: int, what: str = "runs") -> None:
        if number > MOST_RUNS:
            names = ", ".join(name for space in self._spaces for name in space)
            raise OptionError(
                f"{number:,} {what} or more: must be at most {MOST_RUNS:,} in one sweep; search "
                f"fewer values of {names}"
            )

    def _asked(self, name: str) -> str:
        """How messages name an option in a space: with the last values that it has there."""
        spaces = {**self.stream_space, **self.ticket_space, **self.ticket_stream_space}
        axis = [axis for axis in spaces if name in options_of(axis)][-1]
        return f"{axis}={shown(spaces[axis])}"

    @property
    def _spaces(self) -> tuple[Space, Space, Space]:
        return self.stream_space, self.ticket_space, self.ticket_stream_space

    @cached_property
    def _inspection(self) -> Inspection:
        """The planned runs in the storage, as they were when this was first asked."""
        return inspect(self.storage, self._planned)

    @cached_property
    def _planned(self) -> set[str]:
        return {run.run_id for stage in self.stages for run in stage.runs}


def _first_points(space: Space) -> list[dict[str, Any]]:
    """Returns the points of a space, at most one more than a sweep may have."""
    return list(itertools.islice(points(space), MOST_RUNS + 1))


def _with_progress(what: str, items: Iterable[Item], number: int) -> Iterable[Item]:
    """Passes on items, one for each run of a kind; a bar shows how far a long planning has come."""
    return track(
        items,
        f"planning {what}",
        total=number,
        console=Console(stderr=True, force_jupyter=False),
        transient=True,
        disable=number < _LONG,
    )
