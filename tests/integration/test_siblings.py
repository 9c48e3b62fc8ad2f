"""The sibling scripts as a user runs them, on one storage: tables, answers, nothing done twice."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import ray

from raylot import results

_SWEEPS = Path(__file__).parents[2] / "sweeps"
_TINY = [
    "--tasks", "4", "--snapshots", "0,3", "--epochs", "1", "--batch-size", "256", "--hidden", "8",
    "--tickets", "2", "--rewired-masks", "0", "--reinit-tickets", "0", "--rounds", "1",
    "--sparsities", "0.8", "--seeds", "0-1", "--shifts", "permuted_pixels", "--probe-size", "50",
    "--ntk-examples", "0", "--sharpness-iterations", "0", "--max-concurrent", "1",
    "--probe-tasks", "1",
]  # fmt: skip
_TICKET_TASKS = ["--ticket-tasks", "2", "--stream-snapshots", "3"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One Ray for the scripts, which use a session that is open already."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def _main(script: str, storage: Path, *extra: str) -> int:
    main = runpy.run_path(str(_SWEEPS / f"{script}.py"))["main"]
    return int(main([*_TINY, "--storage", str(storage), *extra]))


def _written(storage: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in (storage / "tables").rglob("*.parquet")}


def test_the_siblings_answer_their_questions_and_compute_nothing_twice(
    tmp_path: Path, cluster: None, capfd: pytest.CaptureFixture[str]
) -> None:
    assert _main("ticket_plasticity", tmp_path, *_TICKET_TASKS) == 0
    said = capfd.readouterr()
    assert "46 runs finished" in said.out
    assert "re-initialised ticket" in said.out
    assert "Traceback" not in said.err
    tasks = results.read(tmp_path, "tasks")
    of_streams = tasks[tasks["snapshot"].notna()]
    counts = of_streams.groupby("subnetwork").size().to_dict()
    assert counts == dict.fromkeys(("ticket", "dense", "random", "reinit"), 2 * 2)
    answer = pd.read_parquet(tmp_path / "analysis" / "ticket_plasticity.parquet")
    assert set(answer["other"]) == {"dense", "random", "reinit"}
    assert (tmp_path / "analysis" / "figures" / "ticket_streams.svg").exists()

    before, experiments = _written(tmp_path), list((tmp_path / "tune").iterdir())
    assert len(experiments) == 1, "one experiment serves all stages"
    assert _main("plastic_parameters", tmp_path) == 0
    said = capfd.readouterr()
    assert "14 runs finished" in said.out
    assert "the union of all tickets" in said.out
    overlaps = pd.read_parquet(tmp_path / "analysis" / "plastic_parameters.parquet")
    assert set(overlaps["selection"]) == {"first", "union", "intersection"}
    assert (tmp_path / "analysis" / "figures" / "plastic_parameters.svg").exists()
    assert _written(tmp_path) == before, "its runs were there already"
    assert list((tmp_path / "tune").iterdir()) == experiments

    assert _main("ticket_plasticity", tmp_path, *_TICKET_TASKS, "--dry-run") == 0
    plan = [line.split() for line in capfd.readouterr().out.splitlines()]
    assert [row[-4:-2] for row in plan[1:7]] == [["0", "0"]] * 6, "nothing is new or to grow"
    assert " ".join(plan[7]) == "Nothing is left to compute."


@pytest.mark.slow  # faster: tests/unit/analysis/test_dose_response.py
def test_doses_are_compared(
    tmp_path: Path, cluster: None, capfd: pytest.CaptureFixture[str]
) -> None:
    doses = ["--interventions", "none,l2_init", "--search", "l2_strength=1e-4,1e-2"]
    assert _main("dose_response", tmp_path, *doses, "--snapshots", "3", "--probe-tasks", "1") == 0
    said = capfd.readouterr()
    assert "Not testable: none, l2_init(1e-4) and l2_init(0.01) are 3 doses" in said.out
    assert "Traceback" not in said.err
    found = pd.read_parquet(tmp_path / "analysis" / "dose_response.parquet")
    assert set(found["intervention"]) == {"none", "l2_init(1e-4)", "l2_init(0.01)"}
    gaps = found[found["measure"] == "probe_online_gap"]
    assert (gaps["seeds"] == 2).all()
    assert (tmp_path / "analysis" / "dose_response_links.parquet").exists()
    assert (tmp_path / "analysis" / "figures" / "dose_response.svg").exists()
