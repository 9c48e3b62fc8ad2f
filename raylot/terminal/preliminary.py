"""The answer so far: what the ticket searches that have ended say, while others still run.

It is a glance at a running sweep and claims nothing: no intervals, no tests. ``raylot.analysis``
defines its figures, and computes intervals and tests once the sweep has ended.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from raylot import results
from raylot.config import ProbeRun, StreamRun, TicketsRun
from raylot.config.doses import labelled
from raylot.config.parameters import DOSED, kind_with, options_used
from raylot.storage import Storage

#: A search's measures: their difference says how much better its tickets are than random masks.
_ACCURACIES = ("ticket_accuracy", "random_accuracy")

_GAP = "probe_online_gap"

#: Options that never name a setting: seeds are replicates, and tasks lie along the stream.
_ALONG = ("seed", "task")


@dataclass(frozen=True)
class Change:
    """A measure at the first and at the last snapshot; nothing is concluded from two of them.

    Attributes:
        first_task, last_task: the snapshots' tasks.
        first, last: means over the seeds that have both.
        seeds: how many have.
    """

    first_task: int
    last_task: int
    first: float
    last: float
    seeds: int


@dataclass(frozen=True)
class SoFar:
    """The values so far of searches that differ in seed and snapshot alone.

    Attributes:
        advantage: how the accuracy of tickets minus that of random masks has changed from the first
            snapshot to the last that has been searched; None until a seed has two snapshots.
        probe_gap: by how much the online accuracy of the last snapshot is below a fresh network's
            on the probe tasks; mean over seeds. None if it is not known.
    """

    advantage: Change | None
    probe_gap: float | None = None


@dataclass
class AnswerSoFar:
    """Gathers what ended runs have measured.

    Args:
        places: run_id of each search of the sweep -> its setting, seed and task.
        probes: run_id of each run that trains on probe tasks -> the settings whose streams'
            snapshots it trains.
        without_chance: searches whose random masks have a density of their own, and so are no
            level of chance.
    """

    places: Mapping[str, tuple[str, int, int]] = field(default_factory=dict)
    probes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    without_chance: Collection[str] = ()
    _found: dict[str, dict[tuple[int, int], float]] = field(default_factory=dict)
    _gaps: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, runs: Iterable[StreamRun], searched: Collection[str]) -> AnswerSoFar:
        """Expects the ticket searches among some runs, and the probe tasks of their streams.

        Args:
            runs: of a sweep.
            searched: the options in which they may differ; settings are named by those that do.
        """
        runs = list(runs)
        searches = [run for run in runs if isinstance(run, TicketsRun)]
        own = {name for name in searched if name in TicketsRun.model_fields or kind_with(name)}
        own -= {"shift", *_ALONG}
        names = ["intervention", "sparsity", *sorted(own - {"intervention", "sparsity"})]
        varied = [name for name in names if len({str(getattr(r, name)) for r in searches}) > 1]
        settings = {run.run_id: _setting(run, varied) for run in searches}
        of_stream: dict[str, set[str]] = {}
        for run in searches:
            of_stream.setdefault(run.stream.run_id, set()).add(settings[run.run_id])
        return cls(
            {run.run_id: (settings[run.run_id], run.seed, run.task) for run in searches},
            {
                run.run_id: frozenset(of_stream.get(run.stream.run_id, ()))
                for run in runs
                if isinstance(run, ProbeRun)
            },
            {run.run_id for run in searches if run.random_density is not None},
        )

    def add(self, run_id: str, measures: Mapping[str, Any]) -> None:
        """Adds an ended run's measures; ignores those of other runs."""
        if run_id in self.probes and _is_number(measures.get(_GAP)):
            self._gaps[run_id] = measures[_GAP]
        tickets, random = (measures.get(name) for name in _ACCURACIES)
        if run_id in self.places and _is_number(tickets):
            setting, seed, task = self.places[run_id]
            chance = (
                random if _is_number(random) and run_id not in self.without_chance else math.nan
            )
            advantage = tickets - chance
            self._found.setdefault(setting, {})[seed, task] = advantage

    def read(self, storage: Storage) -> None:
        """Adds what earlier sweeps have measured, without replacing what was added before."""
        from raylot.analysis.tables.probe_gaps import gaps_of_runs

        earlier = results.read(storage, "snapshots", ["run_id", *_ACCURACIES])
        for row in earlier.to_dict("records"):
            setting, *place = self.places.get(row["run_id"], ("", 0, 0))
            if tuple(place) not in self._found.get(setting, {}):
                self.add(row["run_id"], {str(name): value for name, value in row.items()})
        probes = results.read(storage, "probes")
        gaps = gaps_of_runs(probes[probes["run_id"].isin(set(self.probes))])
        for run_id, own in gaps.groupby("run_id"):
            if str(run_id) not in self._gaps:
                self.add(str(run_id), {_GAP: own.sort_values("task")[_GAP].iloc[-1]})

    @property
    def is_complete(self) -> bool:
        """Whether every search has found something."""
        return sum(len(found) for found in list(self._found.values())) == len(self.places)

    def known(self) -> list[str]:
        """The settings in which a search has ended, in the order of the sweep."""
        order = dict.fromkeys(setting for setting, _, _ in self.places.values())
        return [setting for setting in order if setting in self._found]

    def so_far(self, setting: str) -> SoFar:
        """The figures so far of a setting."""
        found = self._found[setting].copy()  # while others add to it
        of = {run_id for run_id, settings in self.probes.items() if setting in settings}
        gaps = [gap for run_id, gap in self._gaps.copy().items() if run_id in of]
        return SoFar(_change(found), statistics.fmean(gaps) if gaps else None)


def _change(found: Mapping[tuple[int, int], float]) -> Change | None:
    """Compares the first snapshot with the last one that a seed with the first has too."""
    known = {place: value for place, value in found.items() if math.isfinite(value)}
    first = min((task for _, task in known), default=0)
    last = max((task for seed, task in known if (seed, first) in known), default=first)
    seeds = [seed for seed, task in known if task == last and (seed, first) in known]
    if first == last:
        return None
    before, after = (statistics.fmean(known[s, task] for s in seeds) for task in (first, last))
    return Change(first, last, before, after, len(seeds))


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def _setting(run: StreamRun, varied: Collection[str]) -> str:
    """Names what a run is compared by; without what is not used."""
    words = [labelled("shift", run.dose_of("shift"), varied)]
    if not {"intervention", *options_used("intervention", run.intervention)}.isdisjoint(varied):
        words.append(labelled("intervention", run.dose_of("intervention"), varied))
    for name in varied:
        kind = kind_with(name)
        is_used = kind is None or name in options_used(kind, getattr(run, kind))
        if is_used and not {name, kind}.intersection(DOSED):  # the labels tell those
            value = getattr(run, name)
            words.append(str(value) if name == "sparsity" else f"{name}={value}")
    return " ".join(words)
