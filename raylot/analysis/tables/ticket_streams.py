"""Brings ticket streams together with their searches, and with the networks that they grew in."""

from __future__ import annotations

import pandas as pd

from raylot.config import TicketStreamRun


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

    A ticket stream has the protocol of its search, and a dense one that of its stream.

    Args:
        rows: of ``tasks``, of ticket streams.
        runs: the whole table.
    """
    ended = runs[runs["kind"] == TicketStreamRun.kind].set_index("run_id")
    return rows["run_id"].map(ended["protocol"])
