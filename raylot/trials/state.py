"""The saved state of a running trial: one file, from which a restart continues."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import safetensors.torch
from torch import Tensor

from raylot.config import StreamRun
from raylot.results.integrity import metadata
from raylot.storage import checksum


def state_path(run_id: str) -> str:
    """Returns the path of the saved state of a run that has not ended."""
    return f"state/{run_id}/state.safetensors"


#: Rows so far, by table.
Rows = dict[str, list[dict[str, Any]]]


@dataclass
class RunState:
    """Everything that continuing a run needs, and everything that the run has found.

    Attributes:
        steps: steps of the trial done (tasks of a stream, rounds of a ticket search).
        training_steps: optimizer steps behind the rows.
        steps_again: optimizer steps on tasks that a stream had passed, for a later snapshot.
        seconds: wall-clock spent in the trial, all attempts together.
        training_seconds: of these, inside the training loop.
        plasticity_seconds: of these, measuring networks; fresh ones are trained beside it.
        engines: which engines have trained.
        started: when the first attempt began, ISO 8601, UTC.
        kind, label, protocol, plugins, dose: of the run (`raylot.config.StreamRun`), for readers
            of the file.
        of: steps of the whole run.
        diverged: whether a loss was not finite.
        tables: tables that the run has written: name -> rows there, digest of the file.
        artifacts: files that it has left for other runs: path in the storage -> fingerprint.
        inputs: files of other runs that it started from: path in the storage -> fingerprint.
        notes: what could not be measured or done, and why; each once.
        extent: of the ended run that grows, see `raylot.config.StreamRun.extent`; empty if none had
            ended.
        grows: whether a run has ended whose rows this one will replace when it ends.
        targets: the extents that the run has been asked to reach since, one after another.
        has_latest: of a stream, whether its state after the last task of ``extent`` can be read.
        computed_by: the device and engine that computed the run before it grew.
        rows: rows of its tables so far, without identity columns.
        tensors: network, optimizer state or masks.
    """

    started: str
    steps: int = 0
    training_steps: int = 0
    steps_again: int = 0
    seconds: float = 0.0
    training_seconds: float = 0.0
    plasticity_seconds: float = 0.0
    diverged: bool = False
    kind: str = ""
    label: str = ""
    protocol: str = ""
    plugins: str | None = None
    dose: dict[str, Any] = field(default_factory=dict)
    of: int = 0
    engines: list[str] = field(default_factory=list)
    tables: dict[str, tuple[int, str]] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    extent: dict[str, Any] = field(default_factory=dict)
    grows: bool = False
    targets: list[dict[str, Any]] = field(default_factory=list)
    has_latest: bool = True
    computed_by: str = ""
    rows: Rows = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def add_rows(self, table: str, rows: list[dict[str, Any]]) -> None:
        self.rows.setdefault(table, []).extend(rows)

    def describe(self, run: StreamRun) -> None:
        """Says whose state it is, for readers of the file."""
        self.kind, self.label, self.dose = run.kind, run.label, run.dose
        self.protocol, self.plugins = run.protocol, run.plugins

    def to_bytes(self) -> bytes:
        """Returns a safetensors file; its metadata holds everything but the tensors as JSON."""
        plain = {name: value for name, value in vars(self).items() if name != "tensors"}
        return tensors_to_bytes(self.tensors, {"state": json.dumps(plain)})

    @classmethod
    def from_bytes(cls, data: bytes) -> RunState:
        """Undoes `to_bytes`.

        Raises:
            ValueError: the bytes are no such file.
        """
        try:
            plain = json.loads(metadata(data)["state"])
            return cls(**plain, tensors=tensors_from_bytes(data))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"not a saved state: {error!r}") from error


def tensors_to_bytes(
    tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> bytes:
    """Returns tensors, copied to the CPU, as the bytes of a safetensors file with a checksum."""
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return checksum.with_checksum(
        safetensors.torch.save(own, {checksum.KEY: checksum.BLANK, **(metadata or {})})
    )


def tensors_from_bytes(data: bytes) -> dict[str, Tensor]:
    """Returns the tensors in the bytes of a safetensors file.

    Raises:
        ValueError: the bytes are no such file.
    """
    try:
        return safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"not a safetensors file: {error}") from error
