"""The base of the trials that start from the snapshots of a stream or ticket stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from raylot.trials.artifacts import snapshot_path
from raylot.trials.on_tasks import OnTasks

#: In place of the fingerprint of a snapshot that a diverged stream has not left.
_NOT_THERE = "not there"


class OnSnapshots(OnTasks):
    """A trial whose rows come from snapshots, some perhaps from before it grew.

    A stream that diverged has left fewer snapshots than were asked for: the others are left out.
    """

    def tensors(self) -> dict[str, Any]:
        return {}

    def read_again(self, tasks: Iterable[int]) -> None:
        """Reads snapshots behind the rows: if one has changed since, the run starts anew."""
        for t in tasks:
            self.read_snapshot(t)

    def read_snapshot(self, t: int) -> dict[str, Tensor] | None:
        """Reads the snapshot before task t; None if a stream that diverged has not left it."""
        path = snapshot_path(self.run.learner.run_id, t)
        learner = self.producer(self.run.learner.run_id)
        if learner.status == "diverged" and path not in learner.artifacts:
            if self.state.inputs.get(path, _NOT_THERE) != _NOT_THERE:
                self._start_anew()
            self.state.inputs[path] = _NOT_THERE  # if it is later, this run is out of date
            return None
        return self.read_input(path, learner)
