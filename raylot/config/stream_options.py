"""Options of a whole stream: its length, its snapshots, and a note."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from raylot.config.options import Integers, Options, option


class StreamOptions(Options, title="stream"):
    """How long the stream is, and when snapshots are taken."""

    tasks: int = option(31, "tasks in the stream", common=True, ge=1, le=1_000_000, role="extent")
    snapshots: Annotated[tuple[int, ...], Integers, Field(min_length=1)] = option(
        "0-:10", "tasks before which a snapshot is taken; its tickets are searched on that task",
        common=True,
        accepts="task numbers from 0 to tasks - 1, each once, as 0,10,20 or 0-20:10 or 0-:10",
        role="extent",
    )  # fmt: skip
    head_reset: Literal["none", "fresh", "zero"] = option(
        "none", "what the network's last layer becomes after each task: it stays, or its weights "
        "and biases are drawn anew, or 0; pruned weights stay", off="none", role="training",
    )  # fmt: skip
    carry_optimizer: bool = option(
        False,
        "carry the optimizer's state from task to task instead of starting it afresh",
        role="training",
    )

    @field_validator("snapshots", mode="before")
    @classmethod
    def _close_open_ranges(cls, value: Any, info: Any) -> Any:
        """``"0-:10"`` means up to the last task."""
        if isinstance(value, str) and "tasks" in info.data:
            parts = value.replace(",", " ").split()
            return " ".join(p.replace("-:", f"-{info.data['tasks'] - 1}:") for p in parts)
        return value

    @field_validator("snapshots")
    @classmethod
    def _within_stream(cls, value: tuple[int, ...], info: Any) -> tuple[int, ...]:
        tasks = info.data.get("tasks", math.inf)
        if len(set(value)) < len(value) or any(not 0 <= task < tasks for task in value):
            raise ValueError(f"must be task numbers from 0 to {tasks - 1}, each once")
        return tuple(sorted(value))


class NoteOptions(Options, title="record"):
    """A note that the user finds again beside the results."""

    note: str | None = option(
        None, "text kept with the runs that the command computes, in the column note of runs; a "
        "run that grows gets the latest", accepts="one line of at most 500 characters",
        min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$", role="where",
    )  # fmt: skip
