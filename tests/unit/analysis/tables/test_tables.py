"""Rows that no run has written: each table is reported in one line, and the rest counts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raylot import results
from raylot.analysis import command, correlation, plastic_parameters, ticket_plasticity
from raylot.analysis.figures import figures
from raylot.analysis.report import report
from raylot.analysis.tables import tables
from raylot.storage import Storage
from tests.unit.analysis.studies import falling, falling_metrics, write_study

pytestmark = pytest.mark.filterwarnings("error")

#: What no name may be: it would steer a terminal, leave a folder, or be read as a formula.
_BAD_NAMES = ("\x1b[31mred\n", "../../up", "$\\frac{$", "a" * 5000, "<script>", "", None)

#: Table -> column -> values with which a row is left out.
_BAD: dict[str, dict[str, tuple[Any, ...]]] = {
    "runs": {
        **dict.fromkeys(("dataset", "network", "shift", "intervention"), _BAD_NAMES),
        "protocol": _BAD_NAMES[:-1],
        "kind": ("weird", "", None),
        "status": ("weird", "\x1b[2J", None),
        "plugins": ("a:b", "::,", "x" * 50),
        "seed": (-1, None),
        "rounds": (0, 2**62),
    },
    "tasks": {
        **dict.fromkeys(("dataset", "network", "shift", "intervention", "subnetwork"), _BAD_NAMES),
        "task": (-1, 2**62, None),
        "snapshot": (-1, 2**62),
        "test_accuracy": (np.inf, -1.0, 7.0, 1e308),
        "learning_speed": (np.inf, -7.0),
        "sparsity": (np.inf, 2.0),
    },
    "plasticity": {
        **dict.fromkeys(("shift", "intervention", "metric", "layer"), ("\x1b[31mred\n", "", None)),
        "metric": ("$\\frac{$", "../../up", None),
        "task": (-1, 2**62, None),
        "seed": (-1, None),
    },
    "snapshots": {
        **dict.fromkeys(("dataset", "network", "shift", "intervention", "protocol"), _BAD_NAMES),
        "stream_run_id": ("../../up", None),
        "task": (-1, 2**62, None),
        "seed": (-1, None),
        "sparsity": (-0.5, np.inf, None),
        "rounds": (-1, 2**62),
        "ticket_count": (-1.0, np.inf, 1e308),
        "ticket_accuracy": (1.5, -np.inf),
        "overlap_mean": (1e308,),
    },
}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(
        tmp_path / "study", falling, shifts=("permuted_pixels", "stationary"), seeds=range(3),
        tasks=(0, 2, 4), metrics=falling_metrics,
    )  # fmt: skip


def _rows(root: Path, table: str) -> list[dict[str, Any]]:
    first = sorted((root / "tables" / table).glob("*.parquet"))[0]
    return list(pq.read_table(first).to_pylist())


def _hostile(root: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every bad value, in a row that is good but for it and would change figures if it counted."""
    for table, columns in _BAD.items():
        good = _rows(root, table)[-1]
        far_off = {"test_accuracy": 0.01, "ticket_count": 900.0, "value": 1e6} if good else {}
        good |= {name: value for name, value in far_off.items() if name in good}
        for column, values in columns.items():
            for value in values:
                yield table, good | {column: value}


def _add_hostile(root: Path) -> dict[str, int]:
    """Adds them, each in a file of its own run; returns how many each table got."""
    added = dict.fromkeys(_BAD, 0)
    for number, (table, row) in enumerate(_hostile(root)):
        run_id = f"{number:012x}"
        results.write(Storage(root), table, run_id, [{**row, "run_id": run_id}])
        added[table] += 1
    return added


def _run(main: Callable[[list[str]], None], root: Path, *arguments: str) -> int:
    return command.run(lambda: main([str(root), *arguments]))


def test_rows_that_no_run_has_written_are_reported_and_do_not_count(
    study: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(figures, "FIGURES", {"along_stream": figures.FIGURES["along_stream"]})
    clean = study.with_name("clean")
    shutil.copytree(study, clean)
    assert _run(correlation.main, clean, "--resamples", "10") == 0
    expected = capsys.readouterr().out.replace(str(clean), str(study))
    added = _add_hostile(study)
    assert min(added.values()) > 10

    assert _run(correlation.main, study, "--resamples", "10") == 0
    assert capsys.readouterr().out == expected
    pd.testing.assert_frame_equal(
        pd.read_parquet(study / "analysis/correlation.parquet"),
        pd.read_parquet(clean / "analysis/correlation.parquet"),
    )
    assert _run(report.main, study) == 0
    assert _run(figures.main, study) == 0
    assert sorted(path.name for path in (study / "analysis/figures").glob("[!.]*")) == [
        f"{name}.{ending}"
        for name in ("accuracy_along_stream", "along_stream")
        for ending in ("png", "svg")
    ]
    said = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(said) == len(added), "once, though three scripts read each table"
    for table, count in added.items():
        (line,) = (line for line in said if f"/tables/{table}: " in line)
        assert line.isprintable()
        assert f"/tables/{table}: {count} rows left out: " in line
    assert "status=weird: must be one of finished, diverged, failed" in " ".join(said)
    assert "sparsity=-0.5: must be a number in [0, 1]" in " ".join(said)


def test_a_run_that_is_there_twice_counts_once(
    study: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clean = tables.read(Storage(study), "snapshots")
    for table in ("runs", "snapshots"):
        (row,) = _rows(study, table)
        results.write(Storage(study), table, row["run_id"], [row, row, row])
    assert len(tables.read(Storage(study), "snapshots")) == len(clean)
    assert f"/tables/snapshots: 2 rows left out: run_id={row['run_id']}: twice" in caplog.text
    assert _run(correlation.main, study, "--resamples", "10") == 0
    assert _run(report.main, study) == 0


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e308, -1e308, 5e-324])
def test_values_that_a_measurement_can_have_are_no_mistake(
    study: Path, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in sorted((study / "tables/plasticity").glob("*.parquet"))[:2]:
        rows = [{**row, "value": value} for row in pq.read_table(path).to_pylist()[:6]]
        results.write(Storage(study), "plasticity", path.stem, rows)
    assert _run(correlation.main, study, "--resamples", "10") == 0
    assert _run(report.main, study) == 0
    drawn = {"plasticity_along_stream": figures.FIGURES["plasticity_along_stream"]}
    monkeypatch.setattr(figures, "FIGURES", drawn)
    assert _run(figures.main, study) == 0


@pytest.mark.parametrize("column", ["run_id", "seed", "task", "test_accuracy"])
@pytest.mark.parametrize("kind", ["missing", "another type"])
def test_a_file_with_other_columns_is_reported(
    study: Path, column: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for table in ("tasks", "snapshots"):
        path = sorted((study / "tables" / table).glob("*.parquet"))[0]
        found = pq.read_table(path).replace_schema_metadata(None)
        place = found.column_names.index(column)
        found = found.drop_columns([column])
        if kind != "missing":
            values = pa.array([1.5 if column == "run_id" else "x"] * len(found))
            found = found.add_column(place, column, values)
        pq.write_table(found, path)
    assert _run(correlation.main, study, "--resamples", "10") == 0
    assert _run(report.main, study) == 0
    assert "Traceback" not in capsys.readouterr().err


def test_snapshots_without_runs(study: Path) -> None:
    shutil.rmtree(study / "tables/runs")
    assert _run(correlation.main, study, "--resamples", "10") == 0


def test_free_texts_are_printable(study: Path) -> None:
    (row,) = _rows(study, "runs")
    row |= {"error": "\x1b[2Jgone\x07", "host" if "host" in row else "hidden": "64\x1b[31m"}
    results.write(Storage(study), "runs", row["run_id"], [row])
    found = tables.read(Storage(study), "runs").set_index("run_id").loc[row["run_id"]]
    assert found["error"] == "\\x1b[2Jgone\\x07"
    assert found["hidden"].isprintable()


@pytest.mark.parametrize("main", [ticket_plasticity.main, plastic_parameters.main])
def test_where_nothing_is_left_it_is_one_line(
    study: Path, main: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for table in ("snapshots", "tasks"):
        for path in (study / "tables" / table).glob("*.parquet"):
            rows = [{**row, "shift": "../.."} for row in pq.read_table(path).to_pylist()]
            results.write(Storage(study), table, path.stem, rows)
    assert _run(main, study) == 2
    assert capsys.readouterr().err.startswith("error: STORAGE=")
