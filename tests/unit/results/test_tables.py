"""Tables are written run by run, replaced whole, and read with all columns."""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raylot import results
from raylot.config import StreamRun, TicketsRun, TicketStreamRun
from raylot.config.intervention_options import InterventionParameters
from raylot.config.shift_options import ShiftParameters
from raylot.foundation.errors import OptionError
from raylot.foundation.version import VERSION
from raylot.results import SCHEMAS
from raylot.storage import Storage


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "root")


def rows_of_a_run(run: StreamRun) -> list[dict[str, Any]]:
    return [{**results.identity_columns(run), **results.option_values(run), "kind": run.kind}]


# ------------------------------------------------------------------ writing and reading


def test_what_is_written_is_read(storage: Storage) -> None:
    rows = [
        {"run_id": "a", "seed": 1, "task": 0, "test_loss": 0.5, "test_accuracy": 1.0},
        {"run_id": "a", "seed": 1, "task": 1, "test_loss": math.inf, "test_accuracy": None},
        {"run_id": "a", "seed": 1, "task": 2, "test_loss": math.nan},
    ]
    results.write(storage, "tasks", "a", rows)
    read = results.read_run(storage, "tasks", "a")
    assert read is not None
    assert [set(row) for row in read] == [set(SCHEMAS["tasks"])] * 3
    assert [row["test_loss"] for row in read[:2]] == [0.5, math.inf]
    assert math.isnan(read[2]["test_loss"])  # a number that is none, not a missing one
    assert [row["test_accuracy"] for row in read] == [1.0, None, None]
    assert [row["train_loss"] for row in read] == [None] * 3

    frame = results.read(storage, "tasks")
    assert list(frame.columns) == list(SCHEMAS["tasks"])
    assert frame["task"].tolist() == [0, 1, 2]
    assert frame["test_loss"].isna().tolist() == [False, False, True]
    assert frame["test_accuracy"].isna().tolist() == [False, True, True]


def test_times_are_read_as_they_were_written(storage: Storage) -> None:
    started = datetime.datetime(2025, 3, 4, 5, 6, 7, 891011, tzinfo=datetime.UTC)
    results.write(storage, "runs", "a", [{"run_id": "a", "started": started}])
    (row,) = results.read_run(storage, "runs", "a") or []
    assert row["started"] == started
    assert results.read(storage, "runs")["started"][0] == pd.Timestamp(started)


def test_a_runs_rows_are_replaced_and_other_runs_stay(storage: Storage) -> None:
    results.write(storage, "tasks", "a", [{"run_id": "a", "task": t} for t in range(3)])
    results.write(storage, "tasks", "b", [{"run_id": "b", "task": 7}])
    results.write(storage, "tasks", "a", [{"run_id": "a", "task": t} for t in range(5)])
    frame = results.read(storage, "tasks")
    assert sorted(zip(frame["run_id"], frame["task"], strict=True)) == [
        *(("a", t) for t in range(5)),
        ("b", 7),
    ]


def test_a_run_without_rows_is_not_a_run_without_a_table(storage: Storage) -> None:
    assert results.read_run(storage, "tasks", "a") is None
    results.write(storage, "tasks", "a", [])
    assert results.read_run(storage, "tasks", "a") == []
    assert len(results.read(storage, "tasks")) == 0


def test_an_unknown_column_is_refused_and_nothing_is_written(storage: Storage) -> None:
    with pytest.raises(KeyError, match="table tasks has no column accuracy, losses"):
        results.write(storage, "tasks", "a", [{"task": 1}, {"losses": 1, "accuracy": 2}])
    assert results.read_run(storage, "tasks", "a") is None


@pytest.mark.parametrize("table", SCHEMAS)
def test_an_empty_storage_has_all_columns_and_no_rows(table: str, storage: Storage) -> None:
    frame = results.read(storage, table)
    assert list(frame.columns) == list(SCHEMAS[table])
    assert len(frame) == 0


@pytest.mark.parametrize("as_type", [str, Path, Storage])
def test_a_root_may_be_a_path_a_text_or_a_storage(as_type: Any, tmp_path: Path) -> None:
    results.write(Storage(tmp_path), "tasks", "a", [{"run_id": "a"}])
    assert results.read(as_type(tmp_path), "tasks")["run_id"].tolist() == ["a"]


def test_an_unknown_table_is_told_in_one_line(storage: Storage) -> None:
    with pytest.raises(OptionError) as caught:
        results.read(storage, "task")
    assert str(caught.value) == f"table=task: must be one of {', '.join(SCHEMAS)}"


def test_unknown_columns_are_told_in_one_line(storage: Storage) -> None:
    with pytest.raises(OptionError) as caught:
        results.read(storage, "tasks", ["task", "foo", "bar"])
    known = ", ".join(SCHEMAS["tasks"])
    assert str(caught.value) == f"columns=foo, bar: must be of tasks: {known}"


@pytest.mark.parametrize("call", [lambda root: results.read(root, "runs"), results.compact])
@pytest.mark.parametrize("as_type", [str, Path])
def test_a_folder_without_tables_is_a_mistake_of_who_names_it(
    call: Any, as_type: Any, tmp_path: Path
) -> None:
    """And nothing is created there; a sweep reads its `Storage` before it has written anything."""
    (tmp_path / "empty").mkdir()
    for root in (tmp_path / "nowhere", tmp_path / "empty"):
        with pytest.raises(OptionError) as caught:
            call(as_type(root))
        assert str(caught.value) == (
            f"storage={root}: must be the folder or URI of a raylot storage (it has no tables)"
        )
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]
    assert len(results.read(Storage(tmp_path / "nowhere"), "runs")) == 0


def test_plain_pandas_reads_a_table(storage: Storage) -> None:
    for run_id, count in (("a", 1.5), ("b", 2.5)):
        row = {"run_id": run_id, "ticket_count": count}
        results.write(storage, "snapshots", run_id, [row])
    folder = Path(storage.root) / "tables" / "snapshots"
    (folder / ".a.parquet.0123.tmp").write_bytes(b"PAR1 half a file")  # a writer was killed here
    frame = pd.read_parquet(folder)
    assert list(frame.columns) == list(SCHEMAS["snapshots"])
    assert sorted(frame["ticket_count"]) == [1.5, 2.5]
    pd.testing.assert_frame_equal(
        frame.sort_values("run_id", ignore_index=True),
        results.read(storage, "snapshots").sort_values("run_id", ignore_index=True),
    )


def test_a_table_written_before_a_column_existed_is_read(storage: Storage) -> None:
    results.write(storage, "tasks", "new", [{"run_id": "new", "task": 1, "learning_speed": 0.5}])
    old = pa.table({"run_id": ["old"], "task": pa.array([0], pa.int64())})
    pq.write_table(old, storage.path("tables/tasks/old.parquet"))
    frame = results.read(storage, "tasks").set_index("run_id")
    assert frame["task"].to_dict() == {"new": 1, "old": 0}
    assert frame["learning_speed"].isna().to_dict() == {"new": False, "old": True}


# ------------------------------------------------------------------ versions


@pytest.mark.parametrize("version", ["0.0.9", "0.1.0", "0.1.10"])
@pytest.mark.parametrize(
    "call", [lambda root: results.read(root, "runs", ["seed"]), results.compact]
)
def test_runs_of_an_older_raylot_are_refused_by_its_number(
    call: Any, version: str, storage: Storage
) -> None:
    for run_id, written in (("a", version), ("b", VERSION)):
        results.write(storage, "runs", run_id, [{"run_id": run_id, "raylot_version": written}])
    with pytest.raises(OptionError, match=f"^storage={storage.root}: .*, not {version}: "):
        call(storage.root)
    assert results.read(storage, "tasks").empty


@pytest.mark.parametrize("version", ["0.2.0", "0.10.0", "1.0.0", VERSION, None, "not one"])
def test_runs_of_this_raylot_and_newer_ones_are_read(version: str | None, storage: Storage) -> None:
    results.write(storage, "runs", "a", [{"run_id": "a", "raylot_version": version}])
    assert list(results.read(storage, "runs", ["seed"])) == ["seed"]


# ------------------------------------------------------------------ finished runs


def test_finished_runs_can_be_forgotten(storage: Storage) -> None:
    assert results.finished_runs(storage) == set()
    for run_id in ("a", "b"):
        results.write(storage, "runs", run_id, [{"run_id": run_id}])
    results.write(storage, "tasks", "c", [{"run_id": "c"}])  # begun, not finished
    (Path(storage.root) / "tables" / "runs" / ".d.parquet.0123.tmp").write_bytes(b"")
    assert results.finished_runs(storage) == {"a", "b"}
    results.forget_runs(storage, {"a"})
    results.forget_runs(storage, {"never-heard-of"})
    assert results.finished_runs(storage) == {"b"}


# ------------------------------------------------------------------ columns


@pytest.mark.parametrize("table", SCHEMAS)
def test_every_table_says_whose_its_rows_are(table: str) -> None:
    doses = (*ShiftParameters.model_fields, "intervention", *InterventionParameters.model_fields)
    identity = ["run_id", "dataset", "network", "shift", *doses, "plugin_options", "seed"]
    assert list(results.identity_columns(StreamRun())) == identity
    assert list(SCHEMAS[table])[: len(identity)] == identity


def test_a_row_has_the_parameters_that_its_shift_and_intervention_use() -> None:
    run = TicketsRun(shift="noise", noise_step=0.1, intervention="l2", l2_strength=1e-3)
    row = results.identity_columns(run)
    names = (*ShiftParameters.model_fields, *InterventionParameters.model_fields)
    given = {name: row[name] for name in names if row[name] is not None}
    assert given == {"noise_step": 0.1, "period": 0, "gradual": 0.0, "l2_strength": 1e-3}


@pytest.mark.parametrize("model", [StreamRun, TicketsRun, TicketStreamRun])
def test_every_option_is_a_column_of_runs(model: type[StreamRun]) -> None:
    assert set(model.model_fields) <= set(SCHEMAS["runs"])
    assert set(results.option_values(model())) == set(model.model_fields)


def test_every_numeric_option_is_a_numeric_column() -> None:
    kinds = {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    for name, field in TicketStreamRun.model_fields.items():
        for number in (int, float, bool):
            if field.annotation in (number, number | None):
                assert SCHEMAS["runs"][name] == kinds[number], name


def test_the_options_of_runs_are_written_and_read(storage: Storage) -> None:
    stream = StreamRun.checked(
        seed=2**63 - 1, hidden="32,16", data_root="/somewhere", carry_optimizer=True
    )
    tickets = TicketsRun(task=10, sparsity=0.9, random_masks=0)
    ticket_stream = TicketStreamRun(subnetwork="reinit", ticket=1, random_density=0.05)
    for run in (stream, tickets, ticket_stream):
        results.write(storage, "runs", run.run_id, rows_of_a_run(run))
    frame = results.read(storage, "runs")
    rows = {str(row["run_id"]): row for row in frame.to_dict("records")}
    assert set(rows) == {stream.run_id, tickets.run_id, ticket_stream.run_id}
    assert frame["seed"].dtype == "int64"

    row = rows[stream.run_id]
    expected = {
        "kind": "stream",
        "seed": 2**63 - 1,
        "hidden": "32,16",
        "snapshots": "0,10,20,30",
        "data_root": "/somewhere",
        "lr": 0.001,
        "epochs": 10,
        "carry_optimizer": True,
    }
    assert {name: row[name] for name in expected} == expected
    assert all(pd.isna(row[name]) for name in ("sparsity", "rounds", "tickets", "task"))

    row = rows[tickets.run_id]
    expected = {
        "kind": "tickets",
        "hidden": "64",
        "task": 10,
        "sparsity": 0.9,
        "rounds": 10,
        "random_masks": 0,
    }
    assert {name: row[name] for name in expected} == expected
    assert pd.isna(row["data_root"])
    assert pd.isna(row["random_density"])

    row = rows[ticket_stream.run_id]
    expected = {
        "kind": "ticket_stream",
        "subnetwork": "reinit",
        "ticket": 1,
        "ticket_tasks": 10,
        "random_density": 0.05,
        "criterion": "magnitude",
        "intervention": "none",
    }
    assert {name: row[name] for name in expected} == expected
