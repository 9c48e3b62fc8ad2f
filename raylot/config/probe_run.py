"""The run that trains a stream's snapshots, and a fresh network beside them, on unseen tasks."""

from __future__ import annotations

import functools
from typing import ClassVar

from raylot.config.on_probe_tasks import OnProbeTasks
from raylot.config.probe_options import ProbeTaskOptions
from raylot.config.runs import RunOnSnapshots, StreamRun, short_hash
from raylot.foundation.science import versions_of


class ProbeRun(RunOnSnapshots, OnProbeTasks, ProbeTaskOptions):
    """Each snapshot of a stream, and a fresh network, trained on each probe task of its seed."""

    kind: ClassVar[str] = "probes"
    growing: ClassVar[frozenset[str]] = frozenset({"snapshots", "probe_tasks"})

    @functools.cached_property
    def run_id(self) -> str:
        own = self.identity({"probe_shift", "probe_classes"})
        if code := self.code_of_probe_shift:
            own["plugins"] = code
        if version := versions_of([("shift", str(self.probe_shift)), ("measurement", self.kind)]):
            own["versions"] = version
        return short_hash({"kind": self.kind, "stream": self.stream.run_id, **own})

    @property
    def unused_options(self) -> set[str]:
        return super().unused_options - self.growing

    @property
    def training_steps(self) -> int:
        networks = len({0, *self.snapshots})  # snapshot 0 is the fresh network
        return self.probe_tasks * networks * self.steps_per_training

    @property
    def label(self) -> str:
        return f"{super().label} on {self.probe_shift}"


def probes(
    stream: StreamRun,
    options: ProbeTaskOptions,
    probe_shift: str,
    probe_classes: int | None = None,
) -> list[ProbeRun]:
    """Returns the run that trains a stream's snapshots on probe tasks, if there are any.

    Args:
        stream: whose snapshots.
        options: say how many probe tasks.
        probe_shift: makes them.
        probe_classes: of each that class_split makes; None: as many as the stream's tasks have.

    Raises:
        OptionError: the options do not fit the stream.
    """
    if not options.probe_tasks:
        return []
    chosen = {
        "probe_tasks": options.probe_tasks,
        "probe_shift": probe_shift,
        "probe_classes": probe_classes,
    }
    run = ProbeRun.checked(**{**stream.model_dump(exclude={"plugins"}), **chosen})
    run.__dict__["stream"] = stream  # so that its identity is computed once for all
    return [run]
