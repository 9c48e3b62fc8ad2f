"""The trial of retrainings: trains pairs of copies of snapshots in two data orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from raylot import interventions, networks
from raylot.config import RetrainingRun
from raylot.foundation.randomness import RandomKey
from raylot.masks.distance import OTHER, MaskWatch, distance, distances_over_training
from raylot.tasks import Task
from raylot.trials.barriers import barrier_row
from raylot.trials.on_snapshots import OnSnapshots


@dataclass(frozen=True)
class _Step:
    """One pair of copies.

    Attributes:
        task: the snapshot's.
        pair: which of its pairs.
        sparsities: at which the distances between masks are measured.
        is_again: whether the pair's barrier is there, so that it trains for new sparsities only.
    """

    task: int
    pair: int
    sparsities: tuple[float, ...]
    is_again: bool


class RetrainingTrial(OnSnapshots):
    """One step trains one pair of copies of a snapshot on the snapshot's own next task.

    The two differ in what draws at random within a training: data order, and where they are used,
    augmentation, dropout and the intervention's draws. Each begins with a fresh optimizer. Pair p
    trains in the same two data orders from every snapshot of every stream of a seed.
    """

    run_model = RetrainingRun
    tables = ("barriers", "mask_distances")
    run: RetrainingRun

    @property
    def _plan(self) -> list[_Step]:
        """The pairs, in the order in which they were asked for."""
        known = _pairs(self.state.extent)
        plan = []
        for target in self.state.targets:
            for (t, p), sparsities in _pairs(target).items():
                there = known.get((t, p), ())
                if new := tuple(s for s in sparsities if s not in there):
                    plan.append(_Step(t, p, new, is_again=bool(there)))
            known = _pairs(target)
        return plan

    @property
    def total_steps(self) -> int:
        return len(self._plan)

    def doing(self) -> str:
        step = self._plan[self.state.steps]
        return f"pair {self.state.steps + 1} of {self.total_steps}" + ", again" * step.is_again

    def place(self) -> int:
        return max([step.task for step in self._plan[: self.state.steps]][-1:], default=-1) + 1

    def begin(self) -> None:
        self.prepare()
        done = {step.task for step in self._plan[: self.state.steps]}
        self.read_again(sorted({*done, *self.state.extent.get("snapshots", ())}))

    def advance(self) -> dict[str, float]:
        step = self._plan[self.state.steps]
        snapshot = self.read_snapshot(step.task)
        if step != self._plan[self.state.steps]:  # the snapshot had changed: the run starts anew
            return self.advance()
        measures = {} if snapshot is None else self._train_pair(step, snapshot)
        if self.state.steps + 1 == self.total_steps:
            for rows in self.state.rows.values():
                rows.sort(key=_place)
        return measures

    def _train_pair(self, step: _Step, snapshot: Mapping[str, Tensor]) -> dict[str, float]:
        before = self.state.training_steps
        task = self.task(step.task)
        copies = (2 * step.pair, 2 * step.pair + 1)
        trained = [self._trained(step, task, snapshot, copy) for copy in copies]
        if step.is_again:
            self.state.steps_again += self.state.training_steps - before
            self.state.training_steps = before
        (a, watch_a), (b, watch_b) = trained
        self._add_distances(step, watch_a, watch_b)
        place = {"stream_run_id": self.run.stream.run_id, "task": step.task}
        points = 2 if step.is_again else self.run.barrier_points
        found = barrier_row(self, a, b, task, points)
        if step.is_again:
            self._compare(step, found)
            return {}
        row = {**place, "trained": "snapshot", "pair": step.pair, **found}
        self.state.add_rows("barriers", [row])
        return {name: value for name, value in found.items() if name.endswith("_barrier")}

    def _trained(
        self, step: _Step, task: Task, snapshot: Mapping[str, Tensor], copy: int
    ) -> tuple[nn.Module, MaskWatch | None]:
        """Trains a copy; returns it, and the masks after its epochs unless it diverged."""
        network = networks.with_state(self._built, snapshot)
        watch = MaskWatch(network, networks.prunable(self.run), step.sparsities)
        result = self.train_on(
            step.task,
            task,
            network,
            RandomKey((self.run.seed, "retraining", copy)),
            intervention=interventions.make(self.run),
            after_epoch=watch,
        )
        if result.diverged:
            self.note("barriers: NaN, and no mask distances, where a training diverged")
            return network, None
        return network, watch

    def _add_distances(self, step: _Step, a: MaskWatch | None, b: MaskWatch | None) -> None:
        place = {"stream_run_id": self.run.stream.run_id, "task": step.task}
        rows: list[dict[str, Any]] = []
        for side, watch in enumerate((a, b)):
            copy = 2 * step.pair + side
            for (sparsity, scope), masks in watch.masks.items() if watch else ():
                own = {**place, "sparsity": sparsity, "scope": scope, "copy": copy}
                rows += [own | row for row in distances_over_training(masks)]
                if side == 0 and b:
                    ends = distance(masks[-1], b.masks[sparsity, scope][-1])
                    rows.append(own | {"epoch": len(masks) - 1, "compared_with": OTHER, **ends})
        self.state.add_rows("mask_distances", rows)

    def _compare(self, step: _Step, found: Mapping[str, float]) -> None:
        """Notes it if a pair that is trained again comes out otherwise than the one before."""
        for row in self.state.rows["barriers"]:
            if (row["task"], row["pair"]) == (step.task, step.pair) and (
                abs(row["test_loss"] - found["test_loss"]) > 0
            ):
                self.note(
                    "mask distances: copies that were trained again, at sparsities that were added "
                    "later, came out otherwise than those of the barriers"
                )


def _pairs(extent: Mapping[str, Any]) -> dict[tuple[int, int], Sequence[float]]:
    """Returns each pair of each snapshot with the sparsities at which its masks are compared."""
    if not extent:
        return {}
    return {
        (t, p): extent["sparsities"]
        for t in extent["snapshots"]
        for p in range(extent["retraining_pairs"])
    }


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("pair",) if "pair" in row else ("copy", "sparsity", "scope", "compared_with", "epoch")
    return (row["task"], *(row[name] for name in names))
