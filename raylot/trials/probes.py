"""The trial of probe tasks: trains snapshots, and a fresh network beside them, on unseen tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from raylot import interventions, networks
from raylot.config import ProbeRun
from raylot.foundation.randomness import RandomKey
from raylot.tasks import make_probe_task
from raylot.training import evaluate
from raylot.trials.on_snapshots import OnSnapshots
from raylot.trials.stream import MEASURES

#: The fresh network, in place of a snapshot's task.
_FRESH = -1

#: Tasks before which a stream's network is as it was initialised.
_INITIAL = (_FRESH, 0)


class ProbeTrial(OnSnapshots):
    """One step trains one network on one probe task.

    On a probe task all networks train in the same data order, with the stream's intervention. The
    fresh network is the one with which the stream begins, so snapshot 0 is not trained again.
    """

    run_model = ProbeRun
    tables = ("probes",)
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
        self.read_again(sorted({t for t, _ in known} - {*_INITIAL}))

    def advance(self) -> dict[str, float]:
        t, p = self._plan[self.state.steps]
        snapshot = None if t in _INITIAL else self.read_snapshot(t)
        if (t, p) != self._plan[self.state.steps]:  # the snapshot had changed: the run starts anew
            return self.advance()
        if t == 0:  # it is the fresh network
            (fresh,) = (row for row in self._rows_of(_FRESH) if row["probe_task"] == p)
            rows = [{**fresh, "task": 0, "trained": "snapshot"}]
        elif t == _FRESH or snapshot is not None:
            place = {
                "stream_run_id": self.run.stream.run_id,
                "task": None if t == _FRESH else t,
                "trained": "fresh" if t == _FRESH else "snapshot",
                "probe_shift": self.run.probe_shift,
                "probe_task": p,
            }
            network = networks.with_state(self._built, snapshot or self._initial)
            rows = [{**place, **self._trained(network, p)}]
        else:
            rows = []
        self.state.add_rows("probes", rows)
        if self.state.steps + 1 == self.total_steps:
            self.state.rows["probes"].sort(key=_place)
        return self._gap(t) if t != _FRESH else {}

    def _trained(self, network: nn.Module, p: int) -> dict[str, float | None]:
        """Trains a network on probe task p; returns the measures of its row."""
        shift, classes = self.run.trained_shift, self.run.trained_classes
        task = make_probe_task(self._dataset, shift, classes, self.run.seed, p)
        result = self.train_on(
            0,  # no task comes before
            task,
            network,
            RandomKey((self.run.seed, "probe task", p)),
            learning_curve=True,
            intervention=interventions.make(self.run),
        )
        if result.diverged:
            self.note("probe tasks: NaN where a training diverged")
        on_training_split = replace(
            task, test_inputs=task.train_inputs, test_labels=task.train_labels
        )
        measures = {name: getattr(result, name) for name in MEASURES}
        return {"final_train_loss": evaluate(network, on_training_split).loss, **measures}

    def _rows_of(self, t: int) -> list[dict[str, Any]]:
        task = None if t == _FRESH else t
        return [row for row in self.state.rows.get("probes", []) if row["task"] == task]

    def _gap(self, t: int) -> dict[str, float]:
        """Returns how far a snapshot is below the fresh networks, as far as it has been trained.

        Regression has no accuracies to compare.
        """
        if self._dataset.is_regression:
            return {}
        fresh = {row["probe_task"]: row["online_accuracy"] for row in self._rows_of(_FRESH)}
        rows = self._rows_of(t)
        gaps = [fresh[row["probe_task"]] - row["online_accuracy"] for row in rows]
        return {"probe_online_gap": sum(gaps) / len(gaps)} if gaps else {}


def _pairs(extent: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Returns each network, fresh or before a snapshot's task, with each probe task."""
    if not extent:
        return []
    starts = [_FRESH, *extent["snapshots"]]
    return [(t, p) for t in starts for p in range(extent["probe_tasks"])]


def _place(row: Mapping[str, Any]) -> tuple[int, int]:
    return (_FRESH if row["task"] is None else row["task"], row["probe_task"])
