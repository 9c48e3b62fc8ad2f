"""Picks a storage's rows that follow the original study's protocol (preset ``original``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from raylot import results
from raylot.analysis.tables import tables
from raylot.analysis.tables.observations import option_text
from raylot.analysis.words import counted, listed
from raylot.config import (
    PRESETS,
    StreamRun,
    Study,
    TicketsRun,
)
from raylot.config.options import off_value, role_of
from raylot.config.parameters import unused_parameters
from raylot.foundation.errors import OptionError
from raylot.foundation.names import UNTRAINED, WHOLE_NETWORK
from raylot.storage import Storage

_ROLES = {name: role_of(field) for name, field in TicketsRun.model_fields.items()}
#: Controls that the original lacks.
_CONTROLS = {"untrained_masks", "rewired_masks", "reinit_tickets", "supermasks"}
#: Options that say how much was run, not how: runs that differ in them can be compared. The density
#: of random masks is among them, as random masks of each density are compared on their own.
EXTENT = (
    *(name for name, role in _ROLES.items() if role == "extent" and name not in _CONTROLS),
    "random_density",
)
#: Options that do not change the compared numbers.
_IRRELEVANT = {
    "seed", "task", "plugins", *_CONTROLS,
    *(name for name, role in _ROLES.items() if role in ("measurement", "verdict", "where")),
}  # fmt: skip
_MOST_NAMED = 5


@dataclass(frozen=True)
class OriginalRows:
    """Rows of the original's protocol, none of them twice.

    Attributes:
        tasks: rows of ``tasks`` of the streams.
        tickets: rows of ``tickets`` after the last round, tickets and random masks, with their
            search's random_density (null: the tickets' layer densities).
        overlaps: rows of ``overlaps`` about the whole network.
        notes: what was left out, and how what was used deviates, a sentence each.
    """

    tasks: pd.DataFrame
    tickets: pd.DataFrame
    overlaps: pd.DataFrame
    notes: list[str]


def original_rows(storage: Storage) -> OriginalRows:
    """Reads what a storage holds of the original's protocol.

    A stream that is still running has no row in ``runs``: it is used if data set, network, shift
    and intervention are the original's, and a note says so. Of ticket searches, finished ones
    count only.

    Raises:
        OptionError: there is nothing of that protocol.
    """
    runs, tasks = tables.read(storage, "runs"), tables.read(storage, "tasks")
    if tasks.empty:
        raise OptionError(
            f"storage={storage.root}: must be the folder or URI of a raylot storage that holds "
            "trained streams (tables/tasks has none)"
        )
    study = Study.checked(**PRESETS["original"])
    compared = runs[runs["kind"].isin([StreamRun.kind, TicketsRun.kind])]
    differences = [_differences(row, study) for row in compared.to_dict("records")]
    used = compared[np.array([not difference for difference in differences], dtype=bool)]
    streams = set(used.loc[used["kind"] == StreamRun.kind, "run_id"])
    unfinished = _unfinished_streams(tasks, runs, study)
    left_out = Counter(filter(None, differences)).most_common()
    if used.empty and not unfinished:
        example = f", as by {left_out[0][0].split(', ')[0]}" if left_out else ""
        raise OptionError(
            f"storage={storage.root}: must hold runs of the original's protocol, as the preset "
            f"original makes them; all here differ{example}"
        )
    notes = [_extent(used, study), _statuses(used), _unfinished(len(unfinished))]
    notes.append(_left_out(left_out))
    own = tasks[tasks["run_id"].isin(streams | unfinished) & tasks["snapshot"].isna()]
    finished_first = own.sort_values("run_id", key=lambda run_ids: ~run_ids.isin(streams))
    search = used.loc[used["kind"] == TicketsRun.kind, ["run_id", "rounds", "random_density"]]
    tickets = tables.read(storage, "tickets").merge(search, on="run_id")
    overlaps = tables.read(storage, "overlaps").merge(search[["run_id"]], on="run_id")
    between_tickets = overlaps["compared_with"] != UNTRAINED
    place = ["seed", "task", "sparsity"]
    return OriginalRows(
        tasks=finished_first.drop_duplicates(["seed", "task"]),
        tickets=tickets[tickets["round"] == tickets["rounds"]].drop_duplicates(
            [*place, "control", "ticket", "random_density"]
        ),
        overlaps=overlaps[between_tickets & (overlaps["layer"] == WHOLE_NETWORK)].drop_duplicates(
            [*place, "ticket_a", "ticket_b"]
        ),
        notes=list(filter(None, notes)),
    )


def _differences(row: Mapping[Any, Any], study: Study) -> str:
    """The options in which a stream or ticket search differs from the original's, as text."""
    is_search = row["kind"] == TicketsRun.kind
    model = TicketsRun if is_search else StreamRun
    if is_search and row["sparsity"] not in study.sparsities:
        return f"sparsity={row['sparsity']:g}"
    original = _original_options(study, row["sparsity"] if is_search else study.sparsities[0])
    skipped = {*_IRRELEVANT, *EXTENT, *unused_parameters(row), *unused_parameters(original)}
    names = [n for n in model.model_fields if n not in skipped]
    return ", ".join(
        f"{name}={_text(_given(row, name))}"
        for name in names
        if _given(row, name) != original[name]
    )


def _original_options(study: Study, sparsity: float) -> dict[str, Any]:
    shift = study.shifts[0]
    search = study.tickets_run(shift=shift, sparsity=sparsity)
    return results.option_values(search) | results.option_values(search.stream)


def _given(row: Mapping[Any, Any], name: str) -> Any:
    """A run's option; where the table has null, the value at which it is off, if there is one.

    Runs from before an option existed have null there.
    """
    return off_value(TicketsRun.model_fields[name]) if pd.isna(row[name]) else row[name]


def _unfinished_streams(tasks: pd.DataFrame, runs: pd.DataFrame, study: Study) -> set[str]:
    original = _original_options(study, study.sparsities[0])
    running = ~tasks["run_id"].isin(runs["run_id"]) & tasks["snapshot"].isna()
    for name in ("dataset", "network", "shift", "intervention"):
        running &= tasks[name] == original[name]
    return set(tasks.loc[running, "run_id"])


# ------------------------------------------------------------------ notes


def _extent(used: pd.DataFrame, study: Study) -> str:
    """Says how much less, or more, was run than in the original."""
    original = _original_options(study, study.sparsities[0])
    kinds = dict.fromkeys(EXTENT, used["kind"] == TicketsRun.kind)
    kinds["tasks"] = kinds["snapshots"] = used["kind"] == StreamRun.kind
    parts = []
    for name in EXTENT:
        given = [_given(row, name) for row in used[kinds[name]].to_dict("records")]
        values = {_text(value): None for value in given if value != original[name]}
        if values:
            parts.append(f"{name}={' or '.join(values)} (original: {_text(original[name])})")
    return f"Less or more was run than in the original: {', '.join(parts)}." if parts else ""


def _statuses(used: pd.DataFrame) -> str:
    ended = Counter(used.loc[used["status"].isin(["failed", "diverged"]), "status"])
    parts = [f"{counted(count, 'run')} {status}" for status, count in sorted(ended.items())]
    return f"Of the runs used, {listed(parts)} before the end." if parts else ""


def _unfinished(streams: int) -> str:
    text = (
        f"{counted(streams, 'stream')} used without a row in tables/runs (still running): "
        "that the data set, network, shift and intervention are the original's is all that could "
        "be checked."
    )
    return text if streams else ""


def _left_out(differences: Sequence[tuple[str, int]]) -> str:
    named = [f"{counted(count, 'run')} ({what})" for what, count in differences[:_MOST_NAMED]]
    if rest := sum(count for _, count in differences[_MOST_NAMED:]):
        named.append(counted(rest, "other run"))
    return f"Not used, as they differ from the original: {listed(named)}." if named else ""


def _text(value: Any) -> str:
    """An option's value; of a long list the first two and the last."""
    parts = option_text(value).split(",")
    return ",".join(parts if len(parts) < 5 else [*parts[:2], "...", parts[-1]])
