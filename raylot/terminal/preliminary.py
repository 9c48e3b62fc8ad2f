"""The answer so far: what the ticket searches that have ended say, while others still run.

It is a glance at a running sweep and claims nothing: no intervals, no tests. ``raylot.analysis``
defines its figures, and computes intervals and tests once the sweep has ended.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from raylot import results
from raylot.config import StreamRun, TicketsRun
from raylot.config.concepts import CHOICES, DOSED, parameters, unused_parameters
from raylot.config.doses import labelled
from raylot.foundation.names import ENOUGH_SEEDS, STATIONARY
from raylot.storage import Storage

if TYPE_CHECKING:
    from raylot.analysis.statistics.trends import Change

#: Snapshots that a stream must have for its seed to count in a correlation.
ENOUGH_SNAPSHOTS = 3

_MEASURES = ("test_accuracy", "ticket_count")

#: Options that never name a setting: seeds are replicates, and tasks lie along the stream.
_ALONG = ("seed", "task")

#: Options that one label tells: see `labelled`.
_DOSES = {*DOSED, *(name for kind in DOSED for name in parameters(kind))}


@dataclass(frozen=True)
class SoFar:
    """The values so far of searches that differ in seed and snapshot alone.

    Attributes:
        test_accuracy: how the test accuracy on a snapshot's task has changed from the first
            snapshot to the last that has been searched; None until a seed has two snapshots.
        ticket_count: the same of the ticket count.
        pearson: correlation of the two over all snapshots of all seeds; None with too few of them,
            if one of the two is constant, or if the control's is not known.
        control: the same correlation in the stationary stream that this setting is compared with;
            None if it is not known, or if this is that stream.
    """

    test_accuracy: Change | None
    ticket_count: Change | None
    pearson: float | None = None
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
    _computed: dict[str, tuple[Any, SoFar]] = field(default_factory=dict)

    @classmethod
    def of(cls, runs: Iterable[StreamRun], searched: Collection[str]) -> AnswerSoFar:
        """Expects the ticket searches among some runs.

        Args:
            runs: of a sweep.
            searched: the options in which they may differ; settings are named by those that do.
        """
        searches = [run for run in runs if isinstance(run, TicketsRun)]
        own = set(searched) & TicketsRun.model_fields.keys() - {"shift", *_ALONG}
        names = ["intervention", "sparsity", *sorted(own - {"intervention", "sparsity"})]
        varied = [name for name in names if len({str(getattr(r, name)) for r in searches}) > 1]
        settings = {run.run_id: _setting(run, run.shift, varied) for run in searches}
        return cls(
            {run.run_id: (settings[run.run_id], run.seed, run.task) for run in searches},
            {settings[run.run_id]: _setting(run, STATIONARY, varied) for run in searches},
        )

    def add(self, run_id: str, measures: Mapping[str, Any]) -> None:
        """Adds an ended run's measures; ignores runs that are no searches or found nothing."""
        place = self.places.get(run_id)
        accuracy, count = (measures.get(name) for name in _MEASURES)
        if place is None or accuracy is None or count is None:
            return
        setting, seed, task = place
        if math.isfinite(accuracy) and math.isfinite(count):
            self._found.setdefault(setting, {})[seed, task] = accuracy, count

    def read(self, storage: Storage) -> None:
        """Adds searches that earlier sweeps have ended, without replacing those added before."""
        earlier = results.read(storage, "snapshots", ["run_id", *_MEASURES])
        for row in earlier.to_dict("records"):
            setting, *place = self.places.get(row["run_id"], ("", 0, 0))
            if tuple(place) not in self._found.get(setting, {}):
                self.add(row["run_id"], {str(name): value for name, value in row.items()})

    @property
    def is_complete(self) -> bool:
        """Whether every search has found something."""
        return sum(len(found) for found in list(self._found.values())) == len(self.places)

    def known(self) -> list[str]:
        """The settings in which a search has ended, in the order of the sweep."""
        order = dict.fromkeys(setting for setting, _, _ in self.places.values())
        return [setting for setting in order if setting in self._found]

    def so_far(self, setting: str) -> SoFar:
        """The figures so far of a setting.

        Its correlation stands beside its control's, or is left out: a trend along the stream alone
        makes any two measures correlate.
        """
        own, control = self._so_far(setting), self.controls.get(setting, "")
        if control == setting:
            return own
        of_control = self._so_far(control).pearson if control in self._found else None
        return replace(own, pearson=None if of_control is None else own.pearson, control=of_control)

    def _so_far(self, setting: str) -> SoFar:
        """Computes figures again only if they have changed: a terminal asks twice a second."""
        found = self._found[setting].copy()  # while others add to it
        before = self._computed.get(setting)
        if before is None or before[0] != found:
            before = self._computed[setting] = (found, _so_far(found))
        return before[1]


def _setting(run: StreamRun, shift: str, varied: Collection[str]) -> str:
    """Names what a run is compared by, under its own shift or another; without what is not used."""
    dose = run.dose | {"shift": shift}
    words = [labelled("shift", dose, varied)]
    if not {"intervention", *parameters("intervention")}.isdisjoint(varied):
        words.append(labelled("intervention", dose, varied))
    unused = unused_parameters({kind: getattr(run, kind) for kind in CHOICES} | dose)
    for name in varied:
        if name not in _DOSES and name not in unused:
            value = getattr(run, name)
            words.append(str(value) if name == "sparsity" else f"{name}={value}")
    return " ".join(words)


def _so_far(found: Mapping[tuple[int, int], tuple[float, float]]) -> SoFar:
    """Asks the analysis; its modules are imported here, as a sweep should not wait for scipy."""
    from raylot.analysis.statistics.coefficients import Series, pearson
    from raylot.analysis.statistics.trends import change

    frame = pd.DataFrame(
        [(*place, *values) for place, values in found.items()], columns=[*_ALONG, *_MEASURES]
    )
    # The last snapshot is one that a seed with the first one has too.
    begun = frame.loc[frame["task"] == frame["task"].min(), "seed"]
    own = frame[frame["seed"].isin(begun)]
    accuracy, tickets = (change(own, name) for name in _MEASURES)
    snapshots = frame.groupby("seed").size()
    if (snapshots >= ENOUGH_SNAPSHOTS).sum() < ENOUGH_SEEDS:
        return SoFar(accuracy, tickets)
    x, y = (frame[[name]].to_numpy(float) for name in _MEASURES)
    seed = np.unique(frame["seed"], return_inverse=True)[1]
    series = Series(x, y, frame["task"].to_numpy(float), seed, stream=seed, position=seed)
    r = float(pearson(series, np.ones((1, len(snapshots))))[0, 0, 0])
    return SoFar(accuracy, tickets, None if math.isnan(r) else r)
