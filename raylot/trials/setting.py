"""The setting trial: trains the streams of one setting side by side, for a search to compare."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray import tune

from raylot import results
from raylot.config import StreamRun
from raylot.config.distributions import as_text
from raylot.foundation.names import CHOOSING
from raylot.results.settings import Setting, accuracy_so_far
from raylot.storage import Storage
from raylot.tasks.datasets import Shared
from raylot.trials import ray_internals
from raylot.trials.stream import StreamTrial


class SettingTrial(tune.Trainable):
    """One step trains all streams of a setting on their next task, and reports their mean accuracy.

    Its configuration holds ``options`` (the searched values), ``streams`` (the other options of
    each stream), ``tasks`` and ``search`` (see `Setting`), and what a stream's trial needs beside
    these (see `raylot.trials.base.RunTrial`). Each stream saves itself as ever, under its own
    run_id: the storage alone knows how far it has come. What Ray Tune keeps as the trial's
    checkpoint only names the streams; Tune asks for it when a trial ends, also when the scheduler
    has stopped it, and then the streams end after the tasks that they have reached.
    """

    _setting: Setting
    _streams: list[StreamTrial]
    _is_done: list[bool]
    _shared: dict[str, Any]

    def setup(
        self,
        config: dict[str, Any],
        shared_data: Mapping[str, Shared] | None = None,
        plugin_texts: Sequence[Mapping[str, str]] = (),
    ) -> None:
        self._shared = {"shared_data": shared_data, "plugin_texts": plugin_texts}
        self._start(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._start(new_config)
        return True

    def _start(self, config: dict[str, Any]) -> None:
        options = config["options"]
        self._streams = [
            StreamTrial({**config, "shared": one, "run": options}, **self._shared)
            for one in config["streams"]
        ]
        self._is_done = [False] * len(self._streams)
        self._lease = config["lease"]
        self._storage_of_runs = Storage.again(config["storage"], config["patience"])
        self._setting = Setting(
            config["search"],
            config["streams"][0]["intervention"],
            options,
            [stream.run.run_id for stream in self._streams],
            config["tasks"],
        )
        self._is_noted = False  # Tune also sets actors up that then never step

    def _note(self, **changed: Any) -> None:
        if self._storage_of_runs.exists(self._lease):
            replace(self._setting, **changed).write(self._storage_of_runs)

    def step(self) -> dict[str, Any]:
        ray_internals.set_title(label_of(self._setting))
        if not self._is_noted:
            self._note()
            self._is_noted = True
        going = [i for i, is_done in enumerate(self._is_done) if not is_done]
        # A stream may have saved one task more than another before the trial was interrupted.
        places = {i: self._streams[i].place() for i in going}
        reports = {i: self._streams[i].step() for i in going if places[i] == min(places.values())}
        for i, report in reports.items():
            self._is_done[i] = report["done"]
        tasks, accuracy = self._so_far()
        return {
            "accuracy": accuracy,
            "tasks": tasks,
            "done": all(self._is_done),
            "timesteps_total": tasks,
            "measures": {"accuracy": accuracy},
            "kind": "setting",
            "run_id": self._setting.path,
            "label": label_of(self._setting),
            "doing": f"task {min(tasks + 1, self._setting.tasks)} of {self._setting.tasks}",
            "training_steps": sum(stream.state.training_steps for stream in self._streams),
            "new_training_steps": sum(each["new_training_steps"] for each in reports.values()),
            "failed": any(each["failed"] for each in reports.values()),
            "notes": [note for each in reports.values() for note in each["notes"]],
        }

    def _so_far(self) -> tuple[int, float]:
        """Returns how many tasks all streams have done, and their mean accuracy on these."""
        own = [
            [row[CHOOSING] for row in self._rows(stream)[: self._setting.tasks]]
            for stream in self._streams
        ]
        pairs = zip(own, self._is_done, strict=True)
        tasks = min((len(one) for one, is_done in pairs if not is_done), default=0)
        tasks = self._setting.tasks if all(self._is_done) else tasks
        return tasks, accuracy_so_far(own, max(tasks, 1))

    def _rows(self, stream: StreamTrial) -> list[dict[str, Any]]:
        """Returns a stream's rows of ``tasks``; of one that had ended before, from the storage."""
        own = stream.state.rows.get("tasks")
        return own or results.read_run(self._storage_of_runs, "tasks", stream.run.run_id) or []

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        going = [
            stream
            for stream, is_done in zip(self._streams, self._is_done, strict=True)
            if not is_done
        ]
        if going:
            for stream in going:
                stream.end_early()
            self._note(stopped_after=self._so_far()[0])
        names = json.dumps({"runs": self._setting.runs})
        (Path(checkpoint_dir) / "setting.json").write_text(names)

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Reads nothing: the streams have continued from the storage already."""


def label_of(setting: Setting) -> str:
    """``setting l2_init lr=0.01 l2_strength=0.001``: how the terminal names a setting."""
    options = " ".join(f"{name}={as_text(value)}" for name, value in setting.options.items())
    return f"setting {setting.intervention} {options}"


def streams_without(runs: Sequence[StreamRun], searched: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the options of a setting's streams that are not searched, for the configuration."""
    left_out = {*searched, "plugins", "versions", "data_digest"}
    return [run.model_dump(mode="json", exclude=left_out) for run in runs]
