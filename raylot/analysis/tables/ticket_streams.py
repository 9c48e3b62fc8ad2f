"""Brings ticket streams together with their searches, and with the networks that they grew in."""

from __future__ import annotations

import pandas as pd

from raylot.analysis.tables import tables
from raylot.config import TicketsRun, TicketStreamRun
from raylot.config.ticket_runs import stream_of_search
from raylot.foundation import registry
from raylot.foundation.errors import OptionError


def without_dense(rows: pd.DataFrame) -> pd.DataFrame:
    """Picks the rows of ticket streams from whose snapshot no dense network was trained."""
    starts = rows["stream_run_id"] + " " + rows["snapshot"].astype(str)
    return rows[~starts.isin(starts[rows["subnetwork"] == "dense"])]


def dense_from_stream(rows: pd.DataFrame, stream: pd.DataFrame) -> pd.DataFrame:
    """Returns the stream's own rows on the tasks of its ticket streams, once for each snapshot.

    Args:
        rows: of ticket streams.
        stream: of the streams that they start from.
    """
    places = rows[["stream_run_id", "snapshot", "task"]].drop_duplicates()
    own = stream.drop(columns="snapshot").assign(stream_run_id=stream["run_id"])
    return own.merge(places, on=["stream_run_id", "task"])


def found_by(rows: pd.DataFrame, runs: pd.DataFrame) -> pd.Series[str]:
    """Returns the protocol of the search that found each row's ticket, missing if unknown.

    Args:
        rows: of ``tasks``, of ticket streams.
        runs: the whole table.
    """
    ended = runs[runs["kind"] == TicketStreamRun.kind].set_index("run_id")
    return rows["run_id"].map(ended["protocol"].map(search_protocols(ended)))


def search_protocols(runs: pd.DataFrame) -> dict[str, str]:
    """Maps each protocol of ticket streams to the protocol of the searches that found their
    tickets, which lacks the options of ticket streams. Reports and leaves out protocols whose
    options raylot does not accept.

    Args:
        runs: rows of ``runs`` of ticket streams.
    """
    found = {}
    for run in runs.drop_duplicates("protocol").to_dict("records"):
        options = {n: run[n] for n in TicketsRun.model_fields if not pd.isna(run.get(n))}
        options["plugins"] = registry.without(options.get("plugins"), {"metric"})
        try:
            search = TicketsRun.checked(**options, **stream_of_search(options))
            found[str(run["protocol"])] = search.protocol
        except OptionError as error:
            tables.report_once(f"protocol {run['protocol']}: left out, as {error}")
    return found
