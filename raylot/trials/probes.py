"""The trial of probe tasks: trains snapshots and fresh networks on unseen tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from raylot import interventions, networks
from raylot.config import ProbeRun
from raylot.foundation.randomness import RandomKey
from raylot.tasks import Task, make_probe_task
from raylot.training import evaluate
from raylot.trials.on_snapshots import OnSnapshots
from raylot.trials.stream import MEASURES

#: A fresh network in place of a snapshot's task.
_FRESH = -1


class ProbeTrial(OnSnapshots):
    """One step trains one network on one probe task.

    On a probe task all networks train in the same data order, with the stream's intervention.
    """

    run_model = ProbeRun
    run: ProbeRun

    @property
    def _plan(self) -> list[tuple[int, int]]:
        """The networks and probe tasks, in the order in which they were asked for."""
        plan = dict.fromkeys(_pairs(self.state.extent))
        known = len(plan)
        for target in self.state.targets:
            plan |= dict.fromkeys(_pairs(target))
        return list(plan)[known:]

    @property
    def total_steps(self) -> int:
        return len(self._plan)

    def doing(self) -> str:
        return f"training {self.state.steps + 1} of {self.total_steps}"

    def place(self) -> int:
        return max([t for t, _ in self._plan[: self.state.steps]][-1:], default=_FRESH) + 1

    def begin(self) -> None:
        self.prepare()
        done = self._plan[: self.state.steps]
        known = [*_pairs(self.state.extent), *done]
        self.read_again(sorted({t for t, _ in known if t != _FRESH}))

    def advance(self) -> dict[str, float]:
        t, p = self._plan[self.state.steps]
        snapshot = self._built.state_dict() if t == _FRESH else self.read_snapshot(t)
        if (t, p) != self._plan[self.state.steps]:  # the snapshot had changed: the run starts anew
            return self.advance()
        row = {
            "stream_run_id": self.run.stream.run_id,
            "task": None if t == _FRESH else t,
            "trained": "fresh" if t == _FRESH else "snapshot",
            "probe_shift": self.run.probe_shift,
            "probe_task": p,
        }
        if snapshot is not None:
            task = make_probe_task(
                self._dataset, str(self.run.probe_shift), self.run.classes_per_task,
                self.run.seed, p,
            )  # fmt: skip
            network = networks.with_state(self._built, snapshot)
            if t == _FRESH:
                network = self._fresh(p)
            self.state.add_rows("probes", [{**row, **self._trained(network, task, t, p)}])
        if self.state.steps + 1 == self.total_steps and "probes" in self.state.rows:
            self.state.rows["probes"].sort(key=_place)
        return self._gap(t) if t != _FRESH else {}

    def _fresh(self, p: int) -> nn.Module:
        first = self.task(0)
        key = RandomKey((self.run.seed, "fresh network", p))
        return networks.build(self.run, first.input_shape, first.classes, key).to(self.device)

    def _trained(self, network: nn.Module, task: Task, t: int, p: int) -> dict[str, float]:
        """Trains a network on probe task p; returns the measures of its row."""
        stream_began_with = self._initial
        if t == _FRESH:
            self._initial = {name: own.clone() for name, own in network.state_dict().items()}
        result = self.train_on(
            0,  # no task comes before
            task,
            network,
            RandomKey((self.run.seed, "probe task", p)),
            learning_curve=True,
            intervention=interventions.make(self.run),
            whole_task=True,
        )
        self._initial = stream_began_with
        if result.diverged:
            self.note("probe tasks: NaN where a training diverged")
        on_training_split = replace(
            task, test_inputs=task.train_inputs, test_labels=task.train_labels
        )
        measures = {name: getattr(result, name) for name in MEASURES}
        return {"final_train_loss": evaluate(network, on_training_split).loss, **measures}

    def _gap(self, t: int) -> dict[str, float]:
        """Returns how far a snapshot is below the fresh networks, as far as it has been trained."""
        rows = self.state.rows.get("probes", [])
        fresh = {r["probe_task"]: r["online_accuracy"] for r in rows if r["trained"] == "fresh"}
        gaps = [fresh[r["probe_task"]] - r["online_accuracy"] for r in rows if r["task"] == t]
        return {"probe_online_gap": sum(gaps) / len(gaps)} if gaps else {}


def _pairs(extent: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Returns each network, fresh or before a snapshot's task, with each probe task."""
    if not extent:
        return []
    starts = [_FRESH, *extent["snapshots"]]
    return [(t, p) for t in starts for p in range(extent["probe_tasks"])]


def _place(row: Mapping[str, Any]) -> tuple[int, int]:
    return (_FRESH if row["task"] is None else row["task"], row["probe_task"])
