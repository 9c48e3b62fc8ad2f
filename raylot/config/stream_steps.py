"""The steps of a stream: which tasks it trains on, and which it trains on again, to grow."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StreamStep:
    """The training on one task.

    Attributes:
        task: its number.
        restart: whether the network is first taken from where the stream once stood before the
            task, as the network at hand stands elsewhere.
        is_again: whether the stream has trained on the task before.
        has_snapshot: whether a snapshot is taken before the training.
        trains: whether the network trains on the task; else only the snapshot is taken.
    """

    task: int
    restart: bool = False
    is_again: bool = False
    has_snapshot: bool = False
    trains: bool = True


def stream_steps(
    extent: Mapping[str, Any],
    targets: Sequence[Mapping[str, Any]],
    *,
    has_latest: bool = True,
    keeps_optimizer: bool = False,
) -> list[StreamStep]:
    """Returns the steps from one extent of a stream to others, one after another.

    For a snapshot of a task that it has passed, the stream trains again from the nearest snapshot
    before, or from the start.

    Args:
        extent: tasks and snapshots that are there; empty for a new stream.
        targets: tasks and snapshots that are wanted, each at least as many as those before.
        has_latest: whether the state after the last task of ``extent`` is there.
        keeps_optimizer: whether the optimizer's state goes from task to task; snapshots lack it, so
            that the stream can only start again from its beginning.
    """
    steps: list[StreamStep] = []
    first = passed = extent.get("tasks", 0)
    at_hand = None if extent else 0
    known = set(extent.get("snapshots", ()))

    def nearest(task: int) -> int:
        there = 0 if keeps_optimizer else max(s for s in {0, *known} if s <= task)
        return at_hand if at_hand is not None and there <= at_hand <= task else there

    def go(start: int, end: int, snapshots: Collection[int] = ()) -> None:
        steps.extend(
            StreamStep(
                task,
                restart=task == start != at_hand,
                is_again=task < passed,
                has_snapshot=task in snapshots and task not in known,
            )
            for task in range(start, end)
        )

    for target in targets:
        for task in sorted(set(target["snapshots"]) - known):
            if task < passed:
                start = nearest(task)
                go(start, task)
                restart = start == task != at_hand
                steps.append(StreamStep(task, restart, True, has_snapshot=True, trains=False))
                known.add(task)
                at_hand = task
        if target["tasks"] > passed:
            is_kept = at_hand == passed or (has_latest and passed == first)
            go(passed if is_kept else nearest(passed), target["tasks"], target["snapshots"])
            passed = at_hand = target["tasks"]
        known |= set(target["snapshots"])
    return steps
