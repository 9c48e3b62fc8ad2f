"""A sweep hands runs to the code that computes them, on Ray or here; that code reports back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from raylot.config import StreamRun, SweepOptions
from raylot.storage import Storage
from raylot.sweep.interrupt_guard import InterruptGuard
from raylot.sweep.space import split
from raylot.sweep.stage import Stage
from raylot.terminal.progress import Progress

#: Characters of an error that are kept: its end says what happened.
LONGEST_ERROR = 300


@dataclass
class Losses:
    """The runs of a batch that could not be computed, and why.

    Attributes:
        bundles: runs of trials whose worker was lost too often, or could not use the storage, in
            the order in which they were computed, and why.
        given_up: runs whose worker was lost too often, or could not use the storage: run_id -> why.
        storage_failed: those of them that could not use the storage.
        inputs: ended runs of which something that others need is gone: run_id -> what.
        kept: ended runs that cannot grow here: run_id -> why.
        failed: runs that ended with an error.
        error: why Tune itself failed; empty if it did not.
    """

    bundles: list[tuple[list[str], str]] = field(default_factory=list)
    given_up: dict[str, str] = field(default_factory=dict)
    storage_failed: set[str] = field(default_factory=set)
    inputs: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    error: str = ""


#: Yields runs of one kind that can be computed now; is sent what came of them.
Batches = Generator[Sequence[StreamRun], Losses, None]


@dataclass
class Terms(ABC):
    """How the runs of a sweep are computed.

    Attributes:
        stages: of the sweep, in the order in which they need each other.
        storage: where results go.
        options: what a trial may use.
        searched: options that are searched over; Tune's tables and TensorBoard show them.
        lease: path of the file that says that this sweep is in charge.
        progress: shows the user how far the sweep is.
        guard: knows whether the user has interrupted the sweep.
        alone: run_ids of runs that are computed by a trial of their own.
    """

    stages: Sequence[Stage]
    storage: Storage
    options: SweepOptions
    searched: Collection[str]
    lease: str
    progress: Progress
    guard: InterruptGuard
    alone: set[str] = field(default_factory=set, kw_only=True)

    @abstractmethod
    def is_over(self, losses: Losses) -> bool:
        """Returns whether so many runs have failed that the sweep stops."""

    @abstractmethod
    def run_ended(self, run_id: str) -> None:
        """Is told that a run has ended well, or diverged; it may be told of a run twice."""

    def configurations(self, runs: Sequence[StreamRun]) -> list[dict[str, Any]]:
        """Returns the configuration of each run's trial, see `raylot.trials.base.RunTrial`."""
        shared, points = split(runs, set(self.searched))
        common = {
            "kind": runs[0].kind,
            "storage": self.storage.root,
            "patience": self.storage.patience,
            "lease": self.lease,
            "save_interval": self.options.save_interval,
            "has_gpu": self.options.gpus_per_trial > 0,
            "shared": shared,
        }
        return [{**common, "run": point} for point in points]


@dataclass
class Reports:
    """Passes on what trials report: to `Progress`, and to `Losses`."""

    progress: Progress
    losses: Losses
    # Is told of each run that has ended well, or diverged.
    on_end: Callable[[str], None] = lambda run_id: None
    # Remarks that the user has seen of any run.
    remarks: set[str] = field(default_factory=set)
    # Runs of bundles that have ended.
    ended: set[str] = field(default_factory=set)

    def take(self, trial: str, result: dict[str, Any]) -> None:
        """Takes in what a trial reports after a step (see ``RunTrial._report``)."""
        for note in result["notes"]:
            remark = note.removeprefix(f"{result['label']}: ")
            if remark == note or remark not in self.remarks:  # each run's row has its own
                self.progress.note(note)
            self.remarks.add(remark)
        if result["failed"]:
            self.losses.failed.add(result["run_id"])
        if "kept" in result:
            self.losses.kept[result["run_id"]] = result["kept"]
        if "lost_run" in result:
            self.losses.inputs[result["lost_run"]] = result["lost"]
        if result["done"] and not result["failed"] and not {"kept", "lost_run"} & result.keys():
            self.on_end(result["run_id"])
        self.progress.run_advanced(trial, result)

    def take_bundle(self, result: dict[str, Any]) -> None:
        """Takes in what a trial reports of a bundle of runs (see ``AnyTrial.step``)."""
        for report in result["reports"]:
            run_id = report["run_id"]
            if run_id in self.ended:  # before the trial's worker was lost
                continue
            self.take(run_id, report)
            if report["done"]:
                self.ended.add(run_id)
                self.progress.run_ended(run_id)
        run_id, label = result["under_way"]
        if not result["done"] and run_id not in self.ended:
            self.progress.run_started(run_id, label)
