"""The trials that measure the structure of snapshots of a stream or ticket stream."""

from __future__ import annotations

from typing import ClassVar

from raylot import networks, plasticity
from raylot.config import MeasurementRun, TicketMeasurementRun
from raylot.config.measurement_run import MeasuringRun
from raylot.foundation.names import WHOLE_NETWORK
from raylot.trials.on_snapshots import OnSnapshots
from raylot.trials.subnetwork import OnSubnetwork


class MeasurementTrial(OnSnapshots):
    """One step measures one snapshot."""

    run_model: ClassVar[type[MeasuringRun]] = MeasurementRun
    tables = ("plasticity",)
    run: MeasurementRun | TicketMeasurementRun

    @property
    def _tasks(self) -> list[int]:
        """The tasks whose snapshots are measured, in the order in which they were asked for."""
        snapshots = list[int]()
        known = set(self.run.along(self.state.extent).get("snapshots", ()))
        for target in self.state.targets:
            snapshots += sorted(set(self.run.along(target)["snapshots"]) - known)
            known |= set(snapshots)
        return [self.run.first_task + snapshot for snapshot in snapshots]

    @property
    def total_steps(self) -> int:
        return len(self._tasks)

    def doing(self) -> str:
        return f"snapshot {self.state.steps + 1} of {self.total_steps}"

    def begin(self) -> None:
        self.prepare()
        known = self.run.along(self.state.extent).get("snapshots", ())
        measured = [self.run.first_task + snapshot for snapshot in known]
        self.read_again([*measured, *self._tasks[: self.state.steps]])

    def place(self) -> int:
        before = self.run.first_task - 1
        return max(self._tasks[: self.state.steps][-1:], default=before) - before

    def advance(self) -> dict[str, float]:
        t = self._tasks[self.state.steps]
        snapshot = self.read_snapshot(t)
        if t != self._tasks[self.state.steps]:  # the snapshot had changed: the run starts anew
            return self.advance()
        if snapshot is None:
            rows = []
        else:
            network = networks.with_state(self._built, snapshot)
            what = self.run.measured
            rows = self.measure(
                network, self.task(t), self._initial, masks=self._masks,
                built_in=plasticity.GROUPS.get(what, ()),
                measures=[what] if what in plasticity.FURTHER else [], training=self.run,
            )  # fmt: skip
        place = {**self.whose(), "task": t, "setting": self.run.setting or None}
        self.state.add_rows("plasticity", [{**place, **row} for row in rows])
        if self.state.steps + 1 == self.total_steps:
            self.state.rows["plasticity"].sort(key=lambda row: row["task"])
        return {row["metric"]: row["value"] for row in rows if row["layer"] == WHOLE_NETWORK}


class TicketMeasurementTrial(OnSubnetwork, MeasurementTrial):
    """One step measures one snapshot of a ticket stream."""

    run_model = TicketMeasurementRun
    run: TicketMeasurementRun
