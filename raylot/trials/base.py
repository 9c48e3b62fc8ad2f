"""What all trials share: continuing from saved state, writing tables, recording how it ended."""

from __future__ import annotations

import time
import traceback
from abc import abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import ray
import torch
from ray import tune
from torch import Tensor, nn

import raylot
from raylot import data, plasticity, results
from raylot.config import StreamRun
from raylot.data import Task
from raylot.randomness import RandomKey
from raylot.storage import Storage
from raylot.training import Masks, TrainingResult
from raylot.trials.state import RunState

_STATE_FILE = "state.safetensors"


class RunTrainable(tune.Trainable):
    """One run of one kind, a step at a time.

    Its configuration holds ``storage`` (the root), ``save_interval`` (seconds), ``shared`` and
    ``run`` (together the options of ``run_model``).

    The storage alone knows how far a run has come: a trial continues from the state saved there
    under its run_id, whoever saved it. Everything that belongs to one run is made in `_start`, so
    that an actor can be reused for the next run.
    """

    run_model: ClassVar[type[StreamRun]]
    run: Any
    state: RunState
    storage: Storage
    device: torch.device
    _shared: dict[str, Task]
    _begun: bool
    _saved_at: float

    # -------------------------------------------------- what a kind of run defines

    @property
    @abstractmethod
    def total_steps(self) -> int:
        """Steps of the whole run."""

    @abstractmethod
    def begin(self) -> None:
        """Loads data and networks, as far as ``state`` says the run has come."""

    @abstractmethod
    def advance(self) -> dict[str, float]:
        """Does one step, adds its rows to ``state`` and returns what to show of it."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """The tensors that, with the rows, are the whole state after the steps done."""

    @abstractmethod
    def doing(self) -> str:
        """What the next step does, in a few words: ``task 38 of 100``."""

    # -------------------------------------------------- what Ray Tune calls

    def setup(
        self,
        config: dict[str, Any],
        datasets: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    ) -> None:
        """Prepares for the first run.

        Args:
            config: see the class.
            datasets: by name, as `raylot.data.to_arrays` has them; a data set that is not among
                them is loaded.
        """
        torch.set_num_threads(1)
        self._shared = {name: data.from_arrays(d) for name, d in (datasets or {}).items()}
        self._start(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._start(new_config)
        return True

    def step(self) -> dict[str, Any]:
        if not self._begun and self._ended_elsewhere():
            self.storage.delete_folder(f"state/{self.run.run_id}")
            return self._report({}, training_steps=0, done=True)
        before = self.state.training_steps
        started = time.perf_counter()
        error = ""
        shown: dict[str, float] = {}
        try:
            if not self._begun:
                self.begin()
                self._begun = True
            shown = self.advance()
            self.state.steps += 1
        except OSError:
            raise  # storage or a device out of reach: Tune tries again from the last saved state
        except Exception as exception:
            error = _one_line(exception)
        self.state.seconds += time.perf_counter() - started
        done = bool(error) or self.state.diverged or self.state.steps >= self.total_steps
        if done:
            self._finish(error)
        elif time.monotonic() - self._saved_at >= self._save_interval:
            self._save()
        return self._report(shown, self.state.training_steps - before, done, bool(error))

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Saves for Tune itself: schedulers that pause trials need it; sweeps do not ask for it."""
        self.state.tensors = self.tensors() if self._begun else self.state.tensors
        (Path(checkpoint_dir) / _STATE_FILE).write_bytes(self.state.to_bytes())

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.state = RunState.from_bytes((Path(checkpoint) / _STATE_FILE).read_bytes())
        self._begun = False

    # -------------------------------------------------- its own workings

    def _start(self, config: dict[str, Any]) -> None:
        self.run = self.run_model.checked(**{**config["shared"], **config["run"]})
        self.storage = Storage(config["storage"])
        self.device = _granted_device(self.run.device)
        self.state = self._saved_state() or RunState(_now())
        self._save_interval: float = config["save_interval"]
        self._saved_at = time.monotonic()
        self._begun = False

    def _saved_state(self) -> RunState | None:
        saved = self.storage.read(self._state_path)
        try:
            return None if saved is None else RunState.from_bytes(saved)
        except ValueError:
            return None  # damaged: all of it can be computed again

    def dataset(self, scaling: str | None = None) -> Task:
        """The run's data set on its device, with its own scaling or another."""
        options = self.run.model_copy(update={"scaling": scaling}) if scaling else self.run
        shared = self._shared.get(options.dataset)
        dataset = data.load(options) if shared is None else data.scaled(shared, options)
        return dataset.to(self.device)

    @property
    def _state_path(self) -> str:
        return f"state/{self.run.run_id}/{_STATE_FILE}"

    def note_training(self, result: TrainingResult) -> None:
        """Counts one training's steps and time."""
        self.state.training_steps += result.steps
        self.state.training_seconds += result.seconds
        self.state.engines = sorted({*self.state.engines, result.engine})

    def measure_structure(
        self, network: nn.Module, task: Task, initial: Mapping[str, Tensor], masks: Masks | None
    ) -> list[dict[str, Any]]:
        """Rows of what a network's structure says about its plasticity; counts the time."""
        started = time.perf_counter()
        probe = RandomKey((self.run.seed, "probe"))
        rows = plasticity.measure(network, task, self.run, probe, initial=initial, masks=masks)
        self.state.plasticity_seconds += time.perf_counter() - started
        return rows

    def _ended_elsewhere(self) -> bool:
        """Whether another attempt at this run, thought lost, has finished it."""
        return results.read_run(self.storage, "runs", self.run.run_id) is not None

    def _save(self) -> None:
        if self._ended_elsewhere():
            return  # its tables are complete, ours would have fewer rows
        self.state.tensors = self.tensors()
        self._write_tables()
        self.storage.write(self._state_path, self.state.to_bytes())
        self._saved_at = time.monotonic()

    def _write_tables(self) -> None:
        identity = results.identity_columns(self.run)
        for table, rows in self.state.rows.items():
            complete = [{**identity, **row} for row in rows]
            results.write(self.storage, table, self.run.run_id, complete)

    def _finish(self, error: str) -> None:
        self._write_tables()
        row = {
            **results.option_values(self.run),
            **results.identity_columns(self.run),
            "kind": self.run.kind,
            "status": "failed" if error else "diverged" if self.state.diverged else "finished",
            "error": error or None,
            "stream_run_id": self.run.stream.run_id,
            "protocol": self.run.protocol,
            "training_steps": self.state.training_steps,
            "seconds": self.state.seconds,
            "training_seconds": self.state.training_seconds,
            "plasticity_seconds": self.state.plasticity_seconds,
            "started": datetime.fromisoformat(self.state.started),
            "device_used": _device_name(self.device),
            "engine_used": ",".join(self.state.engines) or None,
            "raylot_version": raylot.__version__,
            "torch_version": str(torch.__version__),
            "ray_version": version("ray"),
        }
        results.write(self.storage, "runs", self.run.run_id, [row])
        if not error:  # what was saved before an error is where a retry continues
            self.storage.delete_folder(f"state/{self.run.run_id}")

    def _report(
        self,
        shown: dict[str, float],
        training_steps: int,
        done: bool,
        failed: bool = False,
    ) -> dict[str, Any]:
        return {
            **shown,
            "run_id": self.run.run_id,
            "label": self.run.label,
            "doing": "" if done else self.doing(),
            "training_steps": self.state.training_steps,
            "new_training_steps": training_steps,
            "failed": failed,
            "done": done,
        }


def _granted_device(wanted: str) -> torch.device:
    """The device to use: a GPU only if Ray granted this trial one, though it may see all."""
    if wanted == "auto":
        granted = ray.is_initialized() and bool(ray.get_gpu_ids())
        wanted = "cuda" if granted and torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _one_line(exception: Exception) -> str:
    """``ValueError: what it said (at file.py:12)``."""
    frame = traceback.extract_tb(exception.__traceback__)[-1]
    text = " ".join(str(exception).split())
    return f"{type(exception).__name__}: {text} (at {Path(frame.filename).name}:{frame.lineno})"
