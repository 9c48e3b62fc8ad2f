"""Averages over seeds at each snapshot and over all snapshots, and puts snapshots in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from raylot.analysis.statistics.intervals import Mean
from raylot.analysis.tables.observations import GROUP, SETTING, groups, search_labels
from raylot.analysis.words import counted
from raylot.foundation.names import ENOUGH_SEEDS


def by_snapshot(
    frame: pd.DataFrame, snapshot: str, columns: Sequence[str]
) -> Iterator[tuple[int | None, pd.DataFrame]]:
    """Yields one value per seed at each snapshot, and the mean over each seed's snapshots.

    Args:
        frame: with a column ``seed``; rows that share seed and snapshot are averaged.
        snapshot: the column that holds the snapshot's task.
        columns: what is averaged; missing values are left out.

    Yields:
        The snapshot's task and its values, seeds as index. None comes last, and only if there are
        several snapshots.
    """
    values = frame.groupby([snapshot, "seed"])[list(columns)].mean()
    tasks = sorted(frame[snapshot].unique())
    for task in tasks:
        yield int(task), values.loc[task]
    if len(tasks) > 1:
        yield None, values.groupby(level="seed").mean()


def searches(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yields a setting's rows for each shift and sparsity, with their name in words."""
    labels = search_labels(rows)
    for (shift, sparsity, rounds), part in groups(rows, with_all_shifts=False):
        yield f"{shift} at {labels[sparsity, rounds]}", part


def overall(rows: pd.DataFrame) -> pd.DataFrame:
    """Picks a group's rows about the mean over snapshots; with a single snapshot, its rows."""
    mean = rows[rows["snapshot"].isna()]
    return rows if mean.empty else mean


def shown(rows: pd.DataFrame) -> pd.DataFrame:
    """Picks a group's rows about the first and the last snapshot and about the mean over all."""
    ends = (rows["snapshot"].min(), rows["snapshot"].max())
    return rows[rows["snapshot"].isna() | rows["snapshot"].isin(ends)]


def place_of(key: tuple[Any, ...], part: pd.DataFrame) -> dict[str, Any]:
    """Returns the values of `SETTING` and `GROUP` that a group's rows share."""
    return {name: part[name].iloc[0] for name in SETTING} | dict(zip(GROUP, key, strict=True))


def snapshot_label(snapshot: Any) -> str:
    """The snapshot's task, or ``mean``."""
    return "mean" if pd.isna(snapshot) else str(snapshot)


def mean_of(row: Any, name: str, prefix: str = "") -> Mean | None:
    """Reads a mean over seeds and its interval from a row's columns; None if it is missing.

    The bounds' columns are called ``low`` and ``high``, with a prefix.
    """
    if pd.isna(row[name]):
        return None
    bounds = [row[f"{prefix}{bound}"] for bound in ("low", "high")]
    low, high = (None if pd.isna(bound) else float(bound) for bound in bounds)
    return Mean(float(row[name]), low, high, int(row["seeds"]))


def place(rows: pd.DataFrame) -> str:
    """``mean over 4 snapshots``, or ``snapshot 0``."""
    snapshots = rows["snapshot"].dropna().unique()
    if len(snapshots) > 1:
        return f"mean over {len(snapshots)} snapshots"
    return f"snapshot {snapshots[0]}"


def too_few(seeds: int) -> str:
    """Warns in a sentence of too few seeds; returns an empty text if they are enough."""
    if seeds >= ENOUGH_SEEDS:
        return ""
    return (
        f"This rests on {counted(seeds, 'seed')}, too few to tell a finding from chance: at least "
        f"{ENOUGH_SEEDS} are needed."
    )
