"""The base of all trials: continues from saved state, writes tables, records the end."""

from __future__ import annotations

import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from raylot import datasets, plasticity, results
from raylot.config import PlasticityOptions, StreamRun
from raylot.foundation import registry
from raylot.foundation.randomness import RandomKey
from raylot.foundation.text import is_exit_request, one_line, safe
from raylot.results import files
from raylot.results.manifest import COLUMNS, Manifest
from raylot.storage import OutOfReachError, Storage, checksum
from raylot.storage.checksum import DamagedFileError
from raylot.tasks import Task
from raylot.tasks.datasets import Shared, load, scaled, unpacked
from raylot.training import TrainingResult
from raylot.trials.computer import computer
from raylot.trials.growth import grown_from
from raylot.trials.record import Status, closing_measures, log, now, run_row
from raylot.trials.state import RunState, state_path, tensors_from_bytes, tensors_to_bytes


class InputLostError(Exception):
    """A file that an ended run should have left for this one is missing or damaged.

    Attributes:
        run_id: of the ended run, which must be computed again.
    """

    def __init__(self, run_id: str, reason: str) -> None:
        super().__init__(reason)
        self.run_id = run_id


class NotReproducedError(Exception):
    """Training again gives other numbers than those in the storage."""


class RunTrial(ABC):
    """Computes one run of one kind, a step at a time.

    It knows nothing of Ray: `raylot.trials.trainable` is what Ray Tune runs, and
    `raylot.sweep.in_process` does without.

    Its configuration holds ``kind`` (of run, for callbacks), ``storage`` (the root), ``patience``
    (seconds, see `Storage`), ``lease`` (path of the file that says that the trial's sweep is in
    charge of the storage; None: not checked), ``save_interval`` (seconds), ``has_gpu`` (whether
    the run may use a GPU), ``shared`` and ``run`` (together the options of ``run_model``).

    The storage alone knows how far a run has come: a trial continues from the state saved there
    under its run_id, no matter which process saved it.

    Args:
        config: see above.
        shared_data: data sets, by `raylot.datasets.key_of`; others are loaded.
        plugin_texts: the plugins that runs use, from `raylot.foundation.registry.texts`.
    """

    run_model: ClassVar[type[StreamRun]]
    #: Where its rows may go, beside ``runs``.
    tables: ClassVar[tuple[str, ...]]
    run: Any
    state: RunState
    storage: Storage
    device: torch.device
    _begun: bool
    _counted: int  # training steps that have been reported

    # -------------------------------------------------- what a kind of run defines

    @property
    @abstractmethod
    def total_steps(self) -> int:
        """The steps of the whole run."""

    @abstractmethod
    def begin(self) -> None:
        """Loads data and networks, and continues from ``state``."""

    @abstractmethod
    def advance(self) -> dict[str, float]:
        """Does one step, adds its rows to ``state`` and returns what it measured."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Returns the tensors that, with the rows, make up the state after the steps done."""

    @abstractmethod
    def doing(self) -> str:
        """Says what the next step does, in a few words: ``task 38 of 100``."""

    def place(self) -> int:
        """Returns the place of the last step on the run's curves, counted from 1."""
        return self.state.steps

    # --------------------------------------------------

    def __init__(
        self,
        config: Mapping[str, Any],
        shared_data: Mapping[str, Shared] | None = None,
        plugin_texts: Sequence[Mapping[str, str]] = (),
    ) -> None:
        registry.install(plugin_texts)
        computer()  # before anybody changes the code that this process has loaded
        torch.set_num_threads(1)
        datasets.remember({key: facts for key, (facts, _) in (shared_data or {}).items()})
        self._shared = {key: unpacked(each) for key, each in (shared_data or {}).items()}
        self._start(config)

    def step(self) -> dict[str, Any]:
        """Does one step, saves now and then, and ends the run after the last.

        Returns:
            What there is to report; see `_report`.

        Raises:
            OutOfReachError: the storage could not be used; the run can be tried again.
        """
        if not self._begun and self._is_out_of_date():
            return self._report({}, training_steps=0, done=True, failed=self._has_failed)
        self._counted = self.state.training_steps + self.state.steps_again
        started = time.perf_counter()
        error = ""
        measures: dict[str, float] = {}
        try:
            if self.state.steps < self.total_steps:  # else it was killed as it ended
                if not self._begun:
                    self.begin()
                    self._begun = True
                measures = self.advance()
                self.state.steps += 1
        except OutOfReachError:
            raise  # the sweep tries again from the last saved state
        except NotReproducedError as different:
            self._end_as_far_as_it_has_come()
            return self._report({}, 0, done=True) | {"kept": self._why_not_reproduced(different)}
        except InputLostError as lost:  # the sweep computes the input again, then this run
            return self._report({}, 0, done=True) | {"lost_run": lost.run_id, "lost": str(lost)}
        except BaseException as exception:  # a plugin may raise any, and call sys.exit too
            if is_exit_request(exception):
                raise  # the run is not at fault
            error = registry.describe_error(exception, anywhere=True)
            print(safe(_traceback(exception)), file=sys.stderr)  # in the worker's log
        self.state.seconds += time.perf_counter() - started
        done = bool(error) or self.state.diverged or self.state.steps >= self.total_steps
        if error and self.state.grows:
            told = f"{self.run.label}: cannot grow, and is left as it was ({error})"
            return self._report({}, 0, done=True, failed=True) | {"kept": told}
        if done:
            self._finish(error)
            if error and self.device.type == "cuda":
                # An error may stick to a process's GPU: the next run gets a process of its own.
                raise RuntimeError(error)
        elif time.monotonic() - self._saved_at >= self._save_interval:
            done = not self._save()
        if done and not error:
            measures |= closing_measures(self.state)
        if done:
            log(f"{self._run_name} ends" + (f": {error}" if error else ""))
        new_steps = self.state.training_steps + self.state.steps_again - self._counted
        return self._report(measures, new_steps, done, bool(error))

    # -------------------------------------------------- its own workings

    def _start(self, config: Mapping[str, Any]) -> None:
        self.run = self.run_model.checked(**{**config["shared"], **config["run"]})
        self.storage = Storage.again(config["storage"], config.get("patience", 0.0))
        self.device = _granted_device(self.run.device, has_gpu=config.get("has_gpu", False))
        self._lease: str | None = config.get("lease")
        self._notes: list[str] = []
        self._producers: dict[str, Manifest] = {}
        self._has_failed = False  # in another attempt
        self.state = self._saved_state() or self._ended_state() or RunState(now())
        self._widen()
        self._save_interval: float = config["save_interval"]
        self._saved_at = time.monotonic()
        self._begun = False
        log(f"{self._run_name} starts at step {self.state.steps + 1} of {self.total_steps}")

    @property
    def _run_name(self) -> str:
        return f"{self.run.label} ({self.run.run_id})"

    def _widen(self) -> None:
        """Asks for no less than what is there or was begun; what is new becomes a target."""
        for extent in (self.state.extent, *self.state.targets):
            self.run = self.run.widened(extent)
        wanted = self.run.extent
        if not self.state.targets or self.state.targets[-1] != wanted:
            self.state.targets.append(wanted)

    def _start_anew(self) -> None:
        """Forgets what was done so far, but not which inputs the run has."""
        self.state = RunState(now(), inputs=self.state.inputs, grows=self.state.grows)
        self._counted = 0
        self._widen()

    def _saved_state(self) -> RunState | None:
        try:
            saved = self.storage.read_checked(state_path(self.run.run_id))
            return None if saved is None else RunState.from_bytes(saved)
        except ValueError as error:  # damaged: the run can be computed again
            self._notes.append(f"{error}; {self.run.label} starts anew")
            return None

    def _ended_state(self) -> RunState | None:
        try:
            return grown_from(self.storage, self.run)
        except ValueError as error:
            self._notes.append(f"{error}; {self.run.label} starts anew")
            return None

    # -------------------------------------------------- files between runs

    def write_artifacts(self, artifacts: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Leaves tensors, by their path in the storage, for other runs or for this one to grow."""
        may_write = not self._is_out_of_date()
        for path, tensors in artifacts.items():
            content = tensors_to_bytes(tensors)
            if may_write:
                self.storage.write(path, content)
            self.state.artifacts[path] = checksum.fingerprint(content)

    def read_input(self, path: str, producer: Manifest | None = None) -> dict[str, Tensor]:
        """Reads tensors that an ended run has left, to this run's device.

        If this run has begun with other tensors, it forgets what it has done so far.

        Args:
            path: in the storage.
            producer: what has just been read of that run, if anything has.

        Raises:
            InputLostError: the tensors are missing, damaged, or not what that run wrote.
        """
        run_id = path.split("/")[1]  # artifacts/<run_id>/...
        producer = producer or self.producer(run_id)
        try:
            tensors, found = self._read_tensors(path, producer.artifacts, checks=producer.tells)
        except ValueError as damage:
            raise InputLostError(run_id, str(damage)) from None
        if self.state.inputs.get(path, found) != found:
            self._start_anew()
        self.state.inputs[path] = found
        return {name: tensor.to(self.device) for name, tensor in tensors.items()}

    def read_own(self, path: str) -> dict[str, Tensor]:
        """Reads tensors that this run has left, before it grew.

        Raises:
            ValueError: they are missing, damaged, or not what the run wrote.
        """
        return self._read_tensors(path, self.state.artifacts)[0]

    def _read_tensors(
        self, path: str, written: Mapping[str, str], *, checks: bool = True
    ) -> tuple[dict[str, Tensor], str]:
        """Reads tensors, and the fingerprint of their file, which ``written`` must hold."""
        content = self.storage.read(path)
        if content is None:
            raise ValueError(f"{path}: is not there")
        checksum.check(content, path)
        found = checksum.fingerprint(content)
        if checks and written.get(path) != found:
            raise DamagedFileError(path, "it is not what the run wrote")
        try:
            return tensors_from_bytes(content), found
        except ValueError as error:
            raise DamagedFileError(path, str(error)) from None

    def read_rows(self, table: str, run_id: str) -> list[dict[str, Any]]:
        """Reads rows that an ended run has left.

        Raises:
            InputLostError: the rows are damaged, or not what that run wrote.
        """
        try:
            ended = None if table == "runs" else self.producer(run_id)
            columns = COLUMNS if table == "runs" else None
            return results.read_run(self.storage, table, run_id, ended, columns) or []
        except DamagedFileError as damage:
            raise InputLostError(run_id, str(damage)) from None

    def producer(self, run_id: str) -> Manifest:
        """Reads how a run has ended and what it wrote; raises `InputLostError` if that is lost."""
        if run_id in self._producers:
            return self._producers[run_id]
        for row in self.read_rows("runs", run_id):
            with suppress(ValueError):
                self._producers[run_id] = Manifest.of(row)
                return self._producers[run_id]
        raise InputLostError(run_id, f"tables/runs: has no valid row of {run_id}")

    def dataset(self, scaling: str | None = None) -> Task:
        """Returns the run's data set on its device, with its own scaling or another."""
        options = self.run.model_copy(update={"scaling": scaling}) if scaling else self.run
        shared = self._shared.get(datasets.key_of(options))
        dataset = load(options) if shared is None else scaled(shared, options)
        return dataset.to(self.device)

    def note(self, text: str) -> None:
        """Notes once what could not be measured or done: in the run's row and in the terminal."""
        text = one_line(text)
        if text not in self.state.notes:
            self.state.notes.append(text)
            self.tell(text)

    def tell(self, text: str) -> None:
        """Tells the user what happened, which changes no result."""
        self._notes.append(f"{self.run.label}: {one_line(text)}")

    def note_training(self, result: TrainingResult) -> None:
        """Counts one training's steps and time, and notes its remark."""
        self.state.training_steps += result.steps
        self.state.training_seconds += result.seconds
        self.state.engines = sorted({*self.state.engines, result.engine})
        if result.remark:
            self.note(result.remark)

    def measure(
        self, network: nn.Module, task: Task, initial: Mapping[str, Tensor], **how: Any
    ) -> list[dict[str, Any]]:
        """Measures plasticity as `raylot.plasticity.measure` does, and counts the time."""
        started = time.perf_counter()
        probe = RandomKey((self.run.seed, "probe"))
        # Not the whole run: what a plugin's metric finds must not depend on how far the run goes.
        options = PlasticityOptions.model_construct(
            **{name: getattr(self.run, name) for name in PlasticityOptions.model_fields}
        )
        rows = plasticity.measure(
            network, task, options, probe, initial=initial, note=self.note, **how
        )
        self.state.plasticity_seconds += time.perf_counter() - started
        return rows

    def _is_out_of_date(self) -> bool:
        """Returns whether another attempt has ended this run, or another sweep is in charge.

        This attempt must then write nothing more.
        """
        if self._lease is not None and not self.storage.exists(self._lease):
            return True
        try:
            ended = results.read_run(self.storage, "runs", self.run.run_id, columns=COLUMNS)
        except DamagedFileError:
            return False
        if not ended or self._grows_from(ended[0]):
            return False
        self._has_failed = ended[0]["status"] == "failed"
        if not self._has_failed:  # a retry of a failed run continues from its state
            self.storage.delete_folder(f"state/{self.run.run_id}")
        return True

    def _grows_from(self, row: Mapping[str, Any]) -> bool:
        """Returns whether a row of ``runs`` says that this run has ended with less."""
        try:
            end = Manifest.of(row)
        except ValueError:
            return False
        return end.status == "finished" and not self.run.is_covered_by(end.extent)

    def _save(self) -> bool:
        """Saves state and rows; returns whether this attempt may still do so.

        The rows of a run that grows stay those of before until it ends.
        """
        if self._is_out_of_date():
            return False
        if self._begun:
            self.state.tensors = self.tensors()
        self.state.describe(self.run)
        self.state.of = self.total_steps
        # the state first: rows without a state would look like those of a lost run
        self.storage.write(state_path(self.run.run_id), self.state.to_bytes())
        if not self.state.grows:
            self._write_tables()
        self._saved_at = time.monotonic()
        return True

    def _write_tables(self) -> None:
        identity = results.identity_columns(self.run)
        assert self.state.rows.keys() <= {*self.tables}, "tables must name them"
        for table, rows in self.state.rows.items():
            complete = [{**identity, **row} for row in rows]
            digest = results.write(self.storage, table, self.run.run_id, complete)
            self.state.tables[table] = len(rows), digest

    def _finish(self, error: str) -> None:
        # The rows of a run that grows change in several files: a kill in between must not lose it.
        if self.state.grows and not self._save():
            return
        if self._is_out_of_date():
            return
        self._write_tables()
        # An earlier attempt, since forgotten, may have written other tables.
        for table in set(self.tables).difference(self.state.rows):
            self.storage.delete_file(files.small_path(table, self.run.run_id))
        status: Status = "failed" if error else "diverged" if self.state.diverged else "finished"
        device = _device_name(self.device)
        row = run_row(self.run, self.state, status, error, device, computer())
        results.write(self.storage, "runs", self.run.run_id, [row])
        if not error:  # a retry of a failed run continues from its state
            self.storage.delete_folder(f"state/{self.run.run_id}")

    def reached(self) -> dict[str, Any]:
        """Returns the extent that this run has reached, where it cannot grow any further."""
        return self.state.extent

    def _end_as_far_as_it_has_come(self) -> None:
        """Ends a run that cannot grow any further here with the extent that it has reached."""
        reached = {n: tuple(v) if isinstance(v, list) else v for n, v in self.reached().items()}
        self.run = self.run.model_copy(update=reached)
        self._finish("")

    def _why_not_reproduced(self, error: NotReproducedError) -> str:
        told = f" ({self.state.computed_by})" if self.state.computed_by else ""
        return (
            f"{self.run.label}: {error}. This machine, device, engine or version of torch computes "
            f"other numbers than those of its rows{told}; repeat the command where they were "
            "computed, or compute all of it in another storage"
        )

    def _report(
        self,
        measures: dict[str, float],
        training_steps: int,
        done: bool,
        failed: bool = False,
    ) -> dict[str, Any]:
        notes, self._notes = self._notes, []
        there = self.state.extent
        before_it_grew = self.run.model_copy(update=there).training_steps if there else 0
        return {
            "measures": measures,
            "timesteps_total": self.place(),  # Tune's name for the place on a curve
            "run_id": self.run.run_id,
            "kind": self.run.kind,
            "label": self.run.label,
            "doing": "" if done else self.doing(),
            "training_steps": self.state.training_steps + self.state.steps_again - before_it_grew,
            "new_training_steps": training_steps,
            "failed": failed,
            "notes": notes,
            "done": done,
        }


def _granted_device(wanted: str, *, has_gpu: bool) -> torch.device:
    """Returns the device to use: a GPU only if this trial was granted one; it may see all."""
    if wanted == "auto":
        wanted = "cuda" if has_gpu and torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # Python's own fails on odd errors, as a SyntaxError whose text is none
        return "".join(
            [*traceback.format_tb(error.__traceback__), registry.describe_error(error), "\n"]
        )
