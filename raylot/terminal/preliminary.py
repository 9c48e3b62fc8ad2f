"""The answer so far: what the ticket searches that have ended say, while others still run.

It is for a look at a running sweep and claims nothing: no intervals, no tests. Those are what
``analysis/`` is for.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raylot import results
from raylot.config import StreamRun, TicketsRun
from raylot.foundation.names import ENOUGH_SEEDS, STATIONARY
from raylot.storage import Storage

#: Snapshots that a stream must have for its seed to count in a correlation.
ENOUGH_SNAPSHOTS = 3

#: Measures that differ by no more are constant: what is left is rounding.
_CONSTANT = 1e-9

_MEASURES = ("test_accuracy", "ticket_count")

#: What is not told apart: seeds are replicates, tasks are what is looked along.
_ALONG = ("seed", "task")

_KNOWN_BY_VALUE = ("intervention", "sparsity")


@dataclass(frozen=True)
class SoFar:
    """What is known of searches that differ in seed and snapshot alone.

    Attributes:
        setting: what tells them from others: ``permuted_pixels 0.9``.
        tasks: of the first snapshot that has ended, and of the last.
        test_accuracy: there, of the stream's network on the snapshot's task; mean over seeds.
        ticket_count: there, mean over the same seeds.
        seeds: those that have both snapshots.
        pearson: correlation of the two over all snapshots of all seeds; None with too few of them,
            if one of the two is constant, or if the control's is not known.
        control: the same correlation in the stationary stream that this setting is compared with;
            None if it is not known, or if this is that stream.
    """

    setting: str
    tasks: tuple[int, int]
    test_accuracy: tuple[float, float]
    ticket_count: tuple[float, float]
    seeds: int
    pearson: float | None
    control: float | None = None


@dataclass
class AnswerSoFar:
    """Gathers what ended ticket searches have measured.

    Args:
        places: run_id of each search of the sweep -> its setting, seed and task.
        controls: setting -> the setting that would be its stationary control.
    """

    places: Mapping[str, tuple[str, int, int]] = field(default_factory=dict)
    controls: Mapping[str, str] = field(default_factory=dict)
    _found: dict[str, dict[tuple[int, int], tuple[float, float]]] = field(default_factory=dict)

    @classmethod
    def of(cls, runs: Iterable[StreamRun], searched: Collection[str]) -> AnswerSoFar:
        """For the ticket searches among some runs.

        Args:
            runs: of a sweep.
            searched: the options in which they may differ; settings are named by those that do.
        """
        searches = [run for run in runs if isinstance(run, TicketsRun)]
        own = set(searched) & TicketsRun.model_fields.keys() - {"shift", *_ALONG}
        names = [*_KNOWN_BY_VALUE, *sorted(own - set(_KNOWN_BY_VALUE))]
        varied = [name for name in names if len({str(getattr(r, name)) for r in searches}) > 1]
        settings = {run.run_id: _setting(run, run.shift, varied) for run in searches}
        return cls(
            {run.run_id: (settings[run.run_id], run.seed, run.task) for run in searches},
            {settings[run.run_id]: _setting(run, STATIONARY, varied) for run in searches},
        )

    def add(self, run_id: str, measures: Mapping[str, Any]) -> None:
        """What an ended run has measured; ignored if it is no search, or has found nothing."""
        place = self.places.get(run_id)
        accuracy, count = (measures.get(name) for name in _MEASURES)
        if place is None or accuracy is None or count is None:
            return
        setting, seed, task = place
        if math.isfinite(accuracy) and math.isfinite(count):
            self._found.setdefault(setting, {})[seed, task] = accuracy, count

    def read(self, storage: Storage) -> None:
        """Adds searches that earlier sweeps have ended; what was added since counts first."""
        earlier = results.read(storage, "snapshots", ["run_id", *_MEASURES])
        for row in earlier.to_dict("records"):
            setting, *place = self.places.get(row["run_id"], ("", 0, 0))
            if tuple(place) not in self._found.get(setting, {}):
                self.add(row["run_id"], {str(name): value for name, value in row.items()})

    @property
    def is_complete(self) -> bool:
        """Whether every search has found something."""
        return sum(len(found) for found in list(self._found.values())) == len(self.places)

    def settings(self) -> list[SoFar]:
        """What is known of each setting of which a search has ended, in the order of the sweep."""
        found = self._found.copy()  # while others add to it
        order = dict.fromkeys(setting for setting, _, _ in self.places.values())
        known = {name: _so_far(name, found[name].copy()) for name in order if name in found}
        return [self._beside_control(own, known) for own in known.values()]

    def _beside_control(self, own: SoFar, known: Mapping[str, SoFar]) -> SoFar:
        """No correlation without its control: a trend along the stream makes both correlate."""
        control = known.get(self.controls.get(own.setting, ""))
        if control is own:
            return own
        of_control = None if control is None else control.pearson
        return replace(own, pearson=None if of_control is None else own.pearson, control=of_control)


def _setting(run: StreamRun, shift: str, varied: Iterable[str]) -> str:
    words = [shift]
    for name in varied:
        value = getattr(run, name)
        words.append(str(value) if name in _KNOWN_BY_VALUE else f"{name}={value}")
    return " ".join(words)


def _so_far(setting: str, found: Mapping[tuple[int, int], tuple[float, float]]) -> SoFar:
    by_task: dict[int, dict[int, tuple[float, float]]] = {}
    snapshots: dict[int, int] = {}
    for (seed, task), values in found.items():
        by_task.setdefault(task, {})[seed] = values
        snapshots[seed] = snapshots.get(seed, 0) + 1
    first = min(by_task)
    # The first snapshot is among these itself.
    last = max(task for task in by_task if by_task[task].keys() & by_task[first].keys())
    seeds = by_task[first].keys() & by_task[last].keys()
    means = [
        np.mean([by_task[task][seed] for seed in seeds], axis=0).tolist() for task in (first, last)
    ]
    enough = sum(count >= ENOUGH_SNAPSHOTS for count in snapshots.values()) >= ENOUGH_SEEDS
    return SoFar(
        setting,
        tasks=(first, last),
        test_accuracy=(means[0][0], means[1][0]),
        ticket_count=(means[0][1], means[1][1]),
        seeds=len(seeds),
        pearson=_pearson(np.array(list(found.values()))) if enough else None,
    )


def _pearson(values: npt.NDArray[np.float64]) -> float | None:
    """Of two columns."""
    x, y = values.T
    if min(np.ptp(x), np.ptp(y)) < _CONSTANT:
        return None
    return float(np.corrcoef(x, y)[0, 1])
