"""The tables of the original study that docs/ keeps give the figures that its page prints."""

from __future__ import annotations

import math
import re

import pandas as pd

from raylot.analysis.reproduction import reproduce
from raylot.analysis.tables.original import original_rows
from raylot.analysis.tables.published import PAIRED, SHIFTED
from raylot.results.commands import commands
from raylot.results.integrity import inspect
from raylot.storage import Storage
from tests.support import docs

_TABLES = docs.ROOT / "docs" / "original_study"


def _table(name: str) -> pd.DataFrame:
    return pd.read_parquet(_TABLES / "tables" / name)


def test_the_page_prints_what_the_tables_give() -> None:
    found = reproduce(original_rows(Storage(_TABLES)))
    printed = re.findall(
        r"^\| .*\| (\d+|all) \| (-?[\d.]+)[^|]*\| (-?[\d.]+) \| (-?[\d.]+) to (-?[\d.]+) "
        r"\| (yes|no) \|$",
        docs.text("docs/original_study.md"),
        re.MULTILINE,
    )
    given = []
    for row in found.to_dict("records"):
        digits = 2 if row["quantity"] in (PAIRED, SHIFTED) else 3
        values = (f"{row[name]:.{digits}f}" for name in ("published", "here", "low", "high"))
        task = "all" if pd.isna(row["task"]) else str(row["task"])
        given.append((task, *values, "yes" if row["within"] else "no"))
    assert printed == given
    assert len(given) == 18
    inside = int(found["within"].sum())
    assert f"{inside} of 18 lie within" in docs.text("docs/original_study.md")


def test_the_page_prints_what_each_snapshot_has() -> None:
    snapshots = _table("snapshots").query("search_task == 'own'").set_index(["task", "sparsity"])
    probes = _table("probes").query("shift == 'permuted_pixels' and intervention == 'none'")
    fresh = probes[probes["trained"] == "fresh"].set_index("probe_task")["online_accuracy"]
    late = probes[probes["trained"] == "snapshot"].set_index(["probe_task", "task"])
    gap = late["online_accuracy"].rsub(fresh, level="probe_task").groupby("task").mean()
    given = []
    for task in range(0, 501, 50):
        sparse, sparser = snapshots.loc[(task, 0.8)], snapshots.loc[(task, 0.95)]
        given.append([
            gap[task], sparse["dense_accuracy"],
            *sparse[["ticket_accuracy", "untrained_accuracy"]],
            *sparser[["ticket_accuracy", "untrained_accuracy", "random_accuracy"]],
            *sparse[["overlap_mean", "overlap_untrained"]],
            *sparser[["overlap_mean", "overlap_untrained"]],
        ])  # fmt: skip
    rows = re.findall(
        r"^\| (\d+) ((?:\| \d\.\d{3} ){11})\|$", docs.text("docs/original_study.md"), re.MULTILINE
    )
    assert [int(task) for task, _ in rows] == list(range(0, 501, 50))
    assert [re.findall(r"[\d.]+", values) for _, values in rows] == [
        [f"{value:.3f}" for value in values] for values in given
    ]


def test_the_page_prints_how_tickets_go_on() -> None:
    tasks = _table("tasks").set_index(["run_id", "task"])["test_accuracy"]
    runs = _table("runs").query("kind == 'ticket_stream'").sort_values("task")
    assert set(runs["sparsity"]) == {0.95}
    assert set(runs["subnetwork"]) == {"ticket"}

    def mean(run_id: str, first: int, last: int) -> float:
        found = tasks[run_id].loc[first:last]
        return float(found.mean()) if len(found) == last + 1 - first else math.nan

    given = []
    for _, run in runs.iterrows():
        own, dense, start = run["run_id"], run["stream_run_id"], int(run["task"])
        given.append([
            mean(own, start + 1, start + 1),
            *(mean(own, start + first, start + first + 9) for first in (1, 41, 91)),
            *(mean(dense, start + first, start + first + 9) for first in (1, 91)),
        ])  # fmt: skip
    rows = re.findall(
        r"^\| (\d+) ((?:\| (?:\d\.\d{3}|-) ){6})\|$",
        docs.text("docs/original_study.md"),
        re.MULTILINE,
    )
    assert [int(task) for task, _ in rows] == list(range(0, 501, 50))
    assert [re.findall(r"[\d.]+|-", values) for _, values in rows] == [
        ["-" if math.isnan(value) else f"{value:.3f}" for value in values] for values in given
    ]
    first, later = given[0], given[1:]
    ten, last = [row[1] for row in later], [row[3] for row in later]
    dense = [value for row in later for value in row[4:] if not math.isnan(value)]
    page = docs.text("docs/original_study.md")
    for sentence in (
        f"{first[1]:.3f} against {first[4]:.3f} over the first\n  ten tasks",
        f"{first[3]:.3f} against {first[5]:.3f} over the last ten",
        f"they reach {max(ten):.3f} at most",
        f"{min(last):.3f}\n  to {max(last):.3f}",
        f"lie at {min(dense):.3f} to {max(dense):.3f}",
    ):
        assert sentence in page


def test_the_page_prints_what_the_controls_have() -> None:
    of = ["shift", "intervention", "task"]
    snapshots = _table("snapshots").query("search_task == 'probe'").set_index(of)
    given = [
        snapshots.loc[(*stream, task)]
        for stream in (("permuted_pixels", "none"), ("stationary", "none"),
                       ("permuted_pixels", "l2_init"))
        for task in (0, 50, 100)
    ]  # fmt: skip
    rows = re.findall(
        r"^\|[^|]*\| \d+ \| [\d.]+ ((?:\| \d\.\d{3} ){7})\| [\d.]+ \|$",
        docs.text("docs/original_study.md"),
        re.MULTILINE,
    )
    names = [
        "test_accuracy", "dense_accuracy", "ticket_accuracy", "random_accuracy",
        "untrained_accuracy", "overlap_mean", "overlap_untrained",
    ]  # fmt: skip
    assert [re.findall(r"[\d.]+", values) for values in rows] == [
        [f"{row[name]:.3f}" for name in names] for row in given
    ]


def test_the_tables_are_small_and_whole() -> None:
    storage = Storage(_TABLES)
    files = [path for path in (_TABLES / "tables").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_000_000
    runs = _table("runs")
    assert set(runs["status"]) == {"finished"}
    assert dict(runs["kind"].value_counts()) == {
        "stream": 3, "probes": 3, "measurement": 3 * 5, "tickets": 3 * 11 + 3 * 3,
        "ticket_stream": 11, "ticket_measurement": 5 * 11,
    }  # fmt: skip
    # Each run's rows are those of its digest; snapshots and masks alone are not published.
    damages = [one.path for one in inspect(storage, artifacts=True).damages]
    assert [path for path in damages if not path.startswith("artifacts/")] == []
    assert len(commands(storage)) == len(storage.names("commands")) == 6
