"""Rows of searches that can be compared, though some searches have grown and others have not."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from raylot.analysis.tables import tables
from raylot.foundation.names import DENSE, FEWEST_RANDOM_MASKS, RANDOM, TICKET, WHOLE_NETWORK
from raylot.foundation.verdicts import Accuracies, summary
from raylot.storage import Storage

#: Options that say how many of something a search trains, where verdicts depend on that.
_COUNTS = ["tickets", "random_masks"]


def judged_alike(storage: Storage, snapshots: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Returns rows of ``snapshots``, judged anew where searches of a protocol differ.

    A search may have more tickets than others. Its counts then become those to be expected among
    as many as all have (`rarefied_count`); its means stay over all of them. Of its random masks the
    first ones count, up to the number that every search has that has enough for a verdict. The
    tolerance is the one at which most searches were judged.

    Args:
        storage: where the tickets of searches that differ are read.
        snapshots, runs: the tables.
    """
    counts = runs.set_index("run_id")[[*_COUNTS, "random_density"]]
    known = snapshots[["run_id", "protocol", "tolerance"]].join(counts, on="run_id")
    again: dict[str, dict[str, float]] = {}
    # A search whose row of ``runs`` is lost keeps its verdict.
    for protocol, part in known.dropna(subset=[*_COUNTS, "tolerance"]).groupby("protocol"):
        same: dict[str, float] = {name: int(part[name].min()) for name in _COUNTS}
        if (enough := part["random_masks"] >= FEWEST_RANDOM_MASKS).any():
            same["random_masks"] = int(part.loc[enough, "random_masks"].min())
        same["tolerance"] = float(part["tolerance"].mode().iloc[0])
        others = (part[[*same]] != pd.Series(same)).any(axis=1)
        again |= dict.fromkeys(part.loc[others, "run_id"], same)
        if differing := [name for name in same if part[name].nunique() > 1]:
            told = ", ".join(f"{name}={same[name]:g}" for name in differing)
            tables.report_once(
                f"protocol {protocol}: searches differ in {', '.join(differing)}; all are judged "
                f"with {told}"
            )
    found = list(_judged(storage, again, counts["random_density"])) if again else []
    if not found:
        return snapshots
    judged, columns = pd.DataFrame(found).set_index("run_id"), list(snapshots)
    # Numbers may be missing now, or be means.
    numbers = ["winning_tickets", "winning_ticket_count"]
    snapshots = snapshots.set_index("run_id")
    judged[numbers] = judged[numbers].astype(float)
    snapshots[numbers] = snapshots[numbers].astype(float)
    snapshots.loc[judged.index, list(judged)] = judged
    return snapshots.reset_index()[columns]


def of_usual_number(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows of ``plastic_parameters`` about each protocol's usual number of tickets.

    Unions and intersections of other numbers of tickets cannot be compared with them.
    """
    known = rows.dropna(subset=["tickets"]).groupby("protocol")["tickets"]
    usual = known.agg(lambda counts: counts.mode().iloc[0])
    is_usual = rows["tickets"].isna() | (rows["tickets"] == rows["protocol"].map(usual))
    for protocol, other in rows[~is_usual].groupby("protocol"):
        tables.report_once(
            f"protocol {protocol}: plastic parameters of {other['run_id'].nunique()} searches are "
            f"left out, as these have another number of tickets than {usual[protocol]}"
        )
    return rows[is_usual]


def _judged(
    storage: Storage, again: Mapping[str, Mapping[str, float]], densities: pd.Series
) -> Iterator[dict[str, object]]:
    """Yields columns of ``snapshots`` for searches.

    Args:
        storage: of the sweep.
        again: run_id -> with how many tickets and random masks, and at which tolerance.
        densities: run_id -> of random masks that have a density of their own.
    """
    trained = tables.read(storage, "tickets").sort_values("ticket")
    by_run = dict(iter(trained.groupby("run_id")))
    overlaps = tables.read(storage, "overlaps")
    overlaps = overlaps[overlaps["layer"] == WHOLE_NETWORK]
    pairs_by_run = dict(iter(overlaps.groupby("run_id")))
    for run_id, wanted in again.items():
        if run_id not in by_run:
            tables.report_once(f"run {run_id}: its verdict stays, as its rows of tickets are lost")
            continue
        rows = by_run[run_id]
        rows = rows[(rows["round"] == rows["round"].max()) | (rows["control"] == DENSE)]
        has_losses = np.isfinite(rows["test_loss"]).any()
        are_losses = bool(has_losses and rows["test_accuracy"].isna().all())
        measured = "test_loss" if are_losses else "test_accuracy"
        found = {str(c): own[measured].tolist() for c, own in rows.groupby("control")}
        found[RANDOM] = found.get(RANDOM, [])[: int(wanted["random_masks"])]
        own_density = None if pd.isna(densities[run_id]) else float(densities[run_id])
        examples = int(rows["test_examples"].max())
        accuracies = Accuracies.of(found, own_density, examples, are_losses=are_losses)
        pairs = pairs_by_run.get(run_id, overlaps.head(0))
        verdict = summary(accuracies, pairs, wanted["tolerance"], int(wanted["tickets"]))
        density = statistics.fmean(rows.loc[rows["control"] == TICKET, "density"])
        verdict.pop("test_examples")  # of the rows, not of the verdict
        yield {"run_id": run_id, "density": density, **verdict}
