"""Options of the probe tasks, which no stream of a seed shows, and what is done on them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import field_validator

from raylot.config.naming import NamingOptions
from raylot.config.options import OneOf, Options, option
from raylot.config.shift_options import NO_PROBE_SHIFTS
from raylot.foundation.names import BUILT_IN

_MAKING = [shift for shift in BUILT_IN["shift"] if shift not in NO_PROBE_SHIFTS]


class ProbeShiftOptions(NamingOptions):
    """Which unseen tasks a seed has."""

    probe_shift: Annotated[str | None, OneOf("shift")] = option(
        None, "shift that makes the probe tasks, at its default parameters; none given: "
        "class_split if it is among the shifts, else the first of them that makes any, else "
        "permuted_pixels", accepts=f"one of {', '.join(_MAKING)}, none, or a plugin's shift",
        off=None, role="measurement",
    )  # fmt: skip

    @field_validator("probe_shift")
    @classmethod
    def _draws_tasks_that_differ(cls, value: str | None) -> str | None:
        if value in NO_PROBE_SHIFTS:
            raise ValueError("its tasks do not differ, or get ever harder")
        return value


class ProbeTaskOptions(ProbeShiftOptions, title="probe tasks"):
    """Unseen tasks on which snapshots are trained beside a fresh network."""

    probe_tasks: int = option(
        4, "tasks of each seed that none of its streams shows; each snapshot and a fresh network "
        "are trained on each of them, to measure plasticity; 0: none", common=True, ge=0, le=1000,
        role="extent",
    )  # fmt: skip


class SearchTaskOptions(Options, title="search task"):
    """The task on which a snapshot's tickets are searched."""

    search_task: Literal["own", "probe"] = option(
        "own", "task on which tickets are searched: the snapshot's own next task, or the first "
        "probe task of its seed, which is the same for all streams", off="own", common=True,
        role="search",
    )  # fmt: skip
