"""An ended run's row of ``runs``: how it ended, what it wrote and what it started from.

The row may come from a storage that somebody else has made: `Manifest` checks it before raylot
takes a path from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, Json, ValidationError, model_validator

from raylot.config import RUNS
from raylot.foundation.errors import shown
from raylot.results.files import RUN_ID, TableFile
from raylot.results.schemas import SCHEMAS

#: Name of the artifact with a stream's state after its last task. The stream can grow without it.
LATEST = "latest.safetensors"

# A file's name, without ``/``, that does not begin with a dot.
_NAME = "[0-9A-Za-z_-][.0-9A-Za-z_-]*"
_Tasks = Annotated[str, Field(pattern=r"^\d+(,\d+)*$")]
_Sparsities = Annotated[str, Field(pattern=r"^\d[\d.e-]*(,\d[\d.e-]*)*$")]
_Artifact = Annotated[str, Field(pattern=f"^artifacts/{RUN_ID.pattern}/{_NAME}$")]

#: Kind of run -> the options that say how far a run goes.
GROWING = {run.kind: run.growing for run in RUNS}


def latest_path(stream_run_id: str) -> str:
    """Returns the path of a stream's state after its last task, from which it can grow."""
    return f"artifacts/{stream_run_id}/{LATEST}"


class Manifest(BaseModel):
    """An ended run's account of itself; its fields are columns of ``runs``.

    Attributes:
        run_id, kind, status, error, seconds: as in ``runs``.
        files: table -> rows that the run wrote, and the digest of its file; artifact that it left
            for others -> fingerprint.
        inputs: artifact of another run that the run started from -> fingerprint.
        tasks: of a stream.
        snapshots: of a stream, or of runs on it, as ``0,10,20``.
        tickets, tolerance, and the number of each control: of a ticket search; one that ended
            before raylot had a control has none of it.
        ticket_tasks: of a ticket stream.
        probe_tasks: on which snapshots were trained.
        retraining_pairs: of copies of snapshots that were trained.
        sparsities: at which the masks of these were compared, as ``0.8,0.9``.
        ticket_pairs: of a search, between which barriers were measured.
        ticket_snapshots: of a ticket stream or of its measurement, as ``0,9``.
    """

    model_config = ConfigDict(frozen=True)
    run_id: Annotated[str, Field(pattern=f"^{RUN_ID.pattern}$")]
    kind: str
    status: Literal["finished", "diverged", "failed"]
    files: Json[dict[str, tuple[int, str] | str]] | None = None
    inputs: Json[dict[_Artifact, str]] | None = None
    error: str | None = None
    seconds: float | None = None
    tasks: int | None = None
    snapshots: _Tasks | None = None
    tickets: int | None = None
    untrained_masks: int = 0
    random_masks: int | None = None
    rewired_masks: int = 0
    reinit_tickets: int | None = None
    supermasks: int = 0
    tolerance: float | None = None
    ticket_tasks: int | None = None
    probe_tasks: int | None = None
    retraining_pairs: int | None = None
    sparsities: _Sparsities | None = None
    ticket_pairs: int | None = None
    ticket_snapshots: _Tasks | None = None

    @model_validator(mode="after")
    def _leaves_own_artifacts(self) -> Self:
        for table in SCHEMAS.keys() & (self.files or {}).keys():
            told = (self.files or {})[table]
            if isinstance(told, str) or told[0] < 0:
                raise ValueError(
                    f"{table} must have a number of rows and a digest, not {shown(told)}"
                )
        for path in self.artifacts:
            if not re.fullmatch(f"artifacts/{self.run_id}/{_NAME}", path):
                raise ValueError(f"{shown(path)} must be artifacts/{self.run_id}/NAME")
        return self

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> Manifest:
        """Reads a row of ``runs``, or its `COLUMNS`.

        Raises:
            ValueError: the row belongs to no ended run; names the column, its value and the fault.
        """
        try:
            return cls(**{name: row[name] for name in COLUMNS if row.get(name) is not None})
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else "files"
            raise ValueError(f"{name}={shown(row[name])}: {first['msg']}") from None

    @property
    def extent(self) -> dict[str, Any]:
        """How far the run goes, see `raylot.config.StreamRun.extent`; empty if it does not say."""
        extent = {name: getattr(self, name) for name in GROWING.get(self.kind, ())}
        if None in extent.values():
            return {}
        for name in extent.keys() & {"snapshots", "ticket_snapshots"}:
            extent[name] = [int(task) for task in extent[name].split(",")]
        if "sparsities" in extent:
            extent["sparsities"] = [float(one) for one in extent["sparsities"].split(",")]
        return extent

    @property
    def has_latest(self) -> bool:
        """Whether a stream has left its state after its last task; it may be gone since."""
        return self.latest in self.artifacts

    @property
    def latest(self) -> str:
        """The path of a stream's state after its last task."""
        return latest_path(self.run_id)

    @property
    def tells(self) -> bool:
        """Whether the run says what it wrote; a failed run may write it once more."""
        return self.files is not None and self.status != "failed"

    @cached_property
    def tables(self) -> dict[str, tuple[int, str]]:
        """Table -> number of rows, and the digest of its file."""
        told = (self.files or {}) if self.tells else {}
        return {table: own for table, own in told.items() if isinstance(own, tuple)}

    @cached_property
    def artifacts(self) -> dict[str, str]:
        """Files that the run left for others: path -> fingerprint."""
        told = (self.files or {}) if self.tells else {}
        return {path: str(digest) for path, digest in told.items() if "/" in path}

    def wrong(self, table: str, file: TableFile) -> str | None:
        """Returns why a small file is not the one that the run wrote; None if it is."""
        if not self.tells:
            return None
        if file.digest is None:
            return "it has no checksum"
        if table == "runs":
            return None
        if table not in self.tables:
            return "the run did not write it"
        rows, digest = self.tables[table]
        if file.rows.num_rows != rows:
            return f"{file.rows.num_rows} of the run's {rows} rows are there"
        return None if digest == file.digest else "it is not what the run wrote"


#: The columns of ``runs`` that a manifest is made of.
COLUMNS = list(Manifest.model_fields)
