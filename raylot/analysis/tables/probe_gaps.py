"""How far snapshots are behind a fresh network on unseen tasks: table ``probes`` as measures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from raylot.analysis.tables.measures import differing
from raylot.foundation import registry

#: Measure of plasticity -> the column of ``probes`` that it compares, and the sign with which a
#: loss of plasticity is positive.
_GAPS = {
    "probe_online_gap": ("online_accuracy", 1),
    "probe_speed_gap": ("learning_speed", 1),
    "probe_test_gap": ("test_accuracy", 1),
    "probe_loss_gap": ("final_train_loss", -1),
}

#: Columns of a snapshot.
_SNAPSHOT = ["stream_run_id", "task"]


def probe_gaps(probes: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """How far each snapshot is behind a fresh network on unseen tasks.

    Args:
        probes: the table.
        runs: rows of ``runs``: ``run_id``, ``plugins`` and ``probe_classes``.

    Returns:
        A row per stream and task: stream_run_id, task, and the gaps of `gaps_of_runs`. Where probe
        tasks of several shifts, codes of a plugin's shift or numbers of classes were measured,
        there is a column for each, as ``probe_online_gap(probe_shift=rotation)``.
    """
    gaps = gaps_of_runs(probes)
    known = runs.set_index("run_id")[["plugins", "probe_classes"]]
    of = gaps[["run_id", "probe_shift"]].join(known, on="run_id")
    gaps["setting"] = [_setting(*row[1:]) for row in of.itertuples(index=False, name=None)]
    # Only damaged tables have two runs of one stream and setting.
    gaps = gaps.drop_duplicates([*_SNAPSHOT, "setting"])
    parts = [
        gaps.loc[gaps["setting"] == setting, [*_SNAPSHOT, *_GAPS]].set_index(_SNAPSHOT).rename(
            columns={name: f"{name}({own})" if own else name for name in _GAPS}
        )
        for setting, own in differing(gaps["setting"].unique()).items()
    ]  # fmt: skip
    return pd.concat(parts, axis=1).reset_index() if parts else gaps[[*_SNAPSHOT, *_GAPS]]


def gaps_of_runs(probes: pd.DataFrame) -> pd.DataFrame:
    """How far each snapshot is behind the fresh network of its run, paired by probe task.

    Args:
        probes: the table.

    Returns:
        A row per run and task: run_id, stream_run_id, task, probe_shift, and `_GAPS`, each the mean
        over the probe tasks of both; more than 0 where plasticity was lost, and infinite where the
        snapshot's training diverged but not the fresh network's.
    """
    run = ["run_id", "stream_run_id", "probe_shift"]
    measured = [column for column, _ in _GAPS.values()]
    fresh = probes[probes["trained"] == "fresh"][[*run, "probe_task", *measured]]
    snapshots = probes[probes["trained"] == "snapshot"]
    pairs = snapshots.merge(fresh, on=[*run, "probe_task"], suffixes=("", " fresh"))
    for name, (column, sign) in _GAPS.items():
        gaps = sign * (pairs[f"{column} fresh"] - pairs[column])
        diverged = pairs[column].isna() & pairs[f"{column} fresh"].notna()
        pairs[name] = gaps.mask(diverged, np.inf)
    return pairs.groupby([*run, "task"], as_index=False)[list(_GAPS)].mean()


def _setting(shift: str, plugins: Any, classes: Any) -> str:
    """The probe tasks of a run: ``probe_shift=darker, code=1f2e3d4c5b6a``."""
    code = None if pd.isna(plugins) else registry.listed(plugins).get(("shift", shift))
    own = {"probe_shift": shift, "code": code}
    own["probe_classes"] = None if pd.isna(classes) else f"{classes:g}"
    return ", ".join(f"{name}={value}" for name, value in own.items() if value is not None)
