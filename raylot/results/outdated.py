"""Finds the runs that an older version of the science has computed."""

from __future__ import annotations

import pandas as pd

from raylot.config import StreamRun
from raylot.config.runs import KINDS_OF_CONCEPTS, concepts_of
from raylot.foundation.science import versions_of
from raylot.results import tables
from raylot.storage import Storage

#: What is read of each run.
_COLUMNS = (
    "run_id", "kind", "stream_run_id", "subnetwork", "measured", "versions", *KINDS_OF_CONCEPTS,
    "probe_shift",
)  # fmt: skip

#: The storage read last, as its root and the versions of its files, and its runs. An analysis asks
#: with every table that it reads, and reading the runs anew takes as long as the table.
_latest: tuple[str, dict[str, list[int]], pd.DataFrame] | None = None


def outdated_runs(storage: Storage) -> dict[str, str]:
    """Returns ended runs whose results a fix has changed since: run_id -> what has changed.

    Runs that stand on such a stream are among them.

    Raises:
        OptionError: a raylot has written them whose runs had other identities.
    """
    runs = _runs(storage)
    found: dict[str, str] = {}
    others = runs["kind"] != StreamRun.kind
    for row in runs.assign(others=others).sort_values("others").to_dict("records"):
        now = versions_of(concepts_of(str(row["kind"]), {str(n): v for n, v in row.items()}))
        was = row["versions"]
        if now != was:
            found[row["run_id"]] = f"{was or 'version 1'}, now {now or 'version 1'}"
        elif row["stream_run_id"] in found:
            found[row["run_id"]] = found[row["stream_run_id"]]
    return found


def _runs(storage: Storage) -> pd.DataFrame:
    global _latest
    files = storage.versions("tables/runs")
    if _latest is None or _latest[:2] != (storage.root, files):
        runs = tables.read(storage, "runs", _COLUMNS).astype(object)
        _latest = storage.root, files, runs.where(runs.notna(), None)
    return _latest[2]
