"""The settings that a search for good ones has tried: a file for each, beside the tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from raylot.config.runs import short_hash
from raylot.foundation.names import CHOOSING
from raylot.results.manifest import Manifest
from raylot.results.tables import read_run
from raylot.storage import Storage

_FOLDER = "settings"

#: Names the settings that the latest search has chosen.
_CHOSEN = "best.json"


@dataclass(frozen=True)
class Setting:
    """One setting of an intervention, tried on several streams.

    Attributes:
        search: short hash of what this setting shares with all that a search compares with it.
        intervention: its name.
        options: the values that are searched.
        runs: run_ids of its streams.
        tasks: how many each of them trains on.
        stopped_after: tasks after which the search stopped it; None: it did not.
    """

    search: str
    intervention: str
    options: dict[str, Any]
    runs: list[str]
    tasks: int
    stopped_after: int | None = None

    @property
    def path(self) -> str:
        return f"{_FOLDER}/{short_hash({'runs': self.runs, 'tasks': self.tasks})}.json"

    def write(self, storage: Storage) -> None:
        storage.write(self.path, json.dumps(asdict(self), sort_keys=True).encode())


def tried(storage: Storage) -> list[Setting]:
    """Returns all settings that a storage's searches have tried; leaves out damaged files."""
    found = (_read(storage, f"{_FOLDER}/{name}") for name in storage.names(_FOLDER))
    return [setting for setting in found if setting is not None]


def _read(storage: Storage, path: str) -> Setting | None:
    try:
        setting = Setting(**json.loads(storage.read(path) or b""))
        lists = {name: value for name, value in setting.options.items() if isinstance(value, list)}
        setting.options.update({name: tuple(value) for name, value in lists.items()})  # as drawn
        return setting if setting.path == path else None
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def write_chosen(storage: Storage, settings: Sequence[Setting]) -> None:
    """Notes the best settings, one of each intervention, in place of those of an earlier search."""
    storage.write(_CHOSEN, json.dumps([setting.path for setting in settings]).encode())


def read_chosen(storage: Storage) -> list[Setting]:
    """Returns the best settings that the latest search has noted; none if the file is damaged."""
    try:
        paths = list(map(str, json.loads(storage.read(_CHOSEN) or b"[]")))
    except (ValueError, TypeError, RecursionError):
        return []
    known = {setting.path: setting for setting in tried(storage)}
    return [known[path] for path in paths if path in known]


@dataclass(frozen=True)
class Standing:
    """How far a setting has come, by the tables.

    Attributes:
        setting: which.
        status: ``finished``; ``stopped``, as others were better; ``diverged`` in all its streams;
            ``failed`` in one; or ``unfinished``.
        curve: its accuracy so far after each task, see `accuracy_so_far`.
        tasks_done: tasks that its streams have trained on, all together.
    """

    setting: Setting
    status: str
    curve: list[float]
    tasks_done: int

    @property
    def accuracy(self) -> float:
        """Its accuracy so far after its last task; NaN if there is none."""
        return self.curve[-1] if self.curve else float("nan")

    @property
    def has_ended(self) -> bool:
        return self.status != "unfinished"


def standing(storage: Storage, setting: Setting) -> Standing:
    """Reads how far a setting has come."""
    rows = {run_id: read_run(storage, "tasks", run_id) or [] for run_id in setting.runs}
    ends = [
        Manifest.of(row)
        for run_id in setting.runs
        for row in read_run(storage, "runs", run_id) or []
    ]
    statuses = [end.status for end in ends]
    whole = [end.status == "diverged" or (end.tasks or 0) >= setting.tasks for end in ends]
    if "failed" in statuses:
        status = "failed"
    elif len(ends) < len(setting.runs):
        status = "unfinished"
    elif all(whole):
        status = "diverged" if {*statuses} == {"diverged"} else "finished"
    else:
        status = "unfinished" if setting.stopped_after is None else "stopped"
    accuracies = [[row[CHOOSING] for row in own[: setting.tasks]] for own in rows.values()]
    done = sum(map(len, accuracies))
    reached = {"stopped": setting.stopped_after, "unfinished": min(map(len, accuracies))}
    last = reached.get(status, setting.tasks)
    curve = [accuracy_so_far(accuracies, t + 1) for t in range(last or 0)]
    return Standing(setting, status, curve, done)


def accuracy_so_far(accuracies: Sequence[Sequence[float]], tasks: int) -> float:
    """Returns the mean accuracy on the first tasks of some streams.

    A task that a stream has not reached, as one that diverged before, counts as 0.

    Args:
        accuracies: of each stream, task by task, in [0, 1]; NaN counts as 0.
        tasks: how many.
    """
    sums = [np.nansum(np.asarray(own[:tasks], dtype=float)) for own in accuracies]
    return float(np.mean(sums)) / tasks


def best(found: Sequence[Standing]) -> Mapping[str, Standing]:
    """Returns each intervention's finished setting with the highest accuracy, if there is one;
    the control first."""
    chosen: dict[str, Standing] = {}
    for one in sorted(found, key=lambda one: one.setting.path):  # of equals the same one each time
        name = one.setting.intervention
        if one.status == "finished" and (
            name not in chosen or one.accuracy > chosen[name].accuracy
        ):
            chosen[name] = one
    return dict(sorted(chosen.items(), key=lambda own: (own[0] != "none", own[0])))
