"""Finds the runs that an older version of the science has computed."""

from __future__ import annotations

from raylot.config import StreamRun
from raylot.config.runs import KINDS_OF_CONCEPTS, concepts_of
from raylot.foundation.science import versions_of
from raylot.results.unchanged import read_unchanged
from raylot.storage import Storage


def outdated_runs(storage: Storage) -> dict[str, str]:
    """Returns ended runs whose results a fix has changed since: run_id -> what has changed.

    Runs that stand on such a stream are among them.

    Raises:
        OptionError: a raylot has written them whose runs had other identities.
    """
    columns = ["run_id", "kind", "stream_run_id", "subnetwork", "measured", "versions"]
    columns += [*KINDS_OF_CONCEPTS, "probe_shift"]
    runs = read_unchanged(storage, "runs", columns).astype(object)
    runs = runs.where(runs.notna(), None)
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
