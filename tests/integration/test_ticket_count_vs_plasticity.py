"""The main script as a user runs it: answers, killed and repeated, and every kind of bad input."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray

from raylot import results
from tests.support.progress import without_progress
from tests.support.tables import assert_same_tables

_SCRIPT = Path(__file__).parents[2] / "sweeps" / "ticket_count_vs_plasticity.py"
_TINY = [
    "--address", "local", "--tasks", "12", "--snapshots", "0,11", "--epochs", "2",
    "--hidden", "16", "--tickets", "2", "--rounds", "1", "--seeds", "0", "--sparsities", "0.8",
    "--rewired-masks", "1", "--reinit-tickets", "0", "--probe-size", "50", "--ntk-examples", "0",
    "--sharpness-iterations", "0", "--interventions", "none", "--probe-tasks", "1",
    "--save-interval", "0", "--max-concurrent", "1",
    "--engine", "generic",  # slow enough to be disturbed
]  # fmt: skip


def _command(storage: Path, *extra: str) -> list[str]:
    return [sys.executable, str(_SCRIPT), *_TINY, "--storage", str(storage), *extra]


def _run(storage: Path, *extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(storage, *extra), capture_output=True, text=True, check=False, timeout=400
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A storage with an undisturbed sweep, and what the sweep said."""
    storage = tmp_path_factory.mktemp("undisturbed")
    done = _run(storage)
    assert done.returncode == 0, done.stderr
    return storage, done.stdout, done.stderr


def test_it_ends_with_the_answer_and_where_things_lie(finished: tuple[Path, str, str]) -> None:
    storage, said, progress = finished
    assert "14 runs finished" in said
    assert "Pearson" in said
    assert "permuted_pixels" in said
    assert "stationary" in said
    assert str(storage / "tables") in said
    assert (storage / "analysis" / "figures" / "along_stream.svg").exists()
    assert "Traceback" not in progress
    assert "Warning" not in progress
    assert "of 2 runs finished" in progress
    snapshots = results.read(storage, "snapshots")
    assert len(snapshots) == 4
    assert snapshots["ticket_count"].between(1, 2).all()


def test_the_same_command_again_draws_nothing_again_and_gives_the_same_answer(
    finished: tuple[Path, str, str],
) -> None:
    storage, said, _ = finished
    figures = [line.split()[1] for line in said.splitlines() if line.startswith("written   ")]
    assert {"along_stream", "tickets_vs_plasticity"} <= set(figures)
    written = {path: path.stat().st_mtime_ns for path in storage.rglob("*") if path.is_file()}
    again = _run(storage)
    assert again.returncode == 0, again.stderr
    assert again.stderr == ""
    for name in ("figures", "report", "correlation"):
        assert f"unchanged  {name}: " in again.stdout
    answer = said[said.index("Answer") :]
    assert again.stdout.endswith(answer)
    assert "written  " not in again.stdout
    assert {p: p.stat().st_mtime_ns for p in storage.rglob("*") if p.is_file()} == written

    (storage / "analysis" / "figures" / "along_stream.svg").unlink()
    third = _run(storage)
    assert "unchanged  figures:" not in third.stdout
    assert "unchanged  correlation:" in third.stdout
    assert (storage / "analysis" / "figures" / "along_stream.svg").exists()


def _runs_ended(storage: Path) -> int:
    return len(list((storage / "tables" / "runs").glob("*.parquet")))


def _wait(process: subprocess.Popen[str], began: float) -> None:
    assert process.poll() is None, "the sweep ended before it could be disturbed"
    assert time.monotonic() < began + 250, "nothing happened for too long"
    time.sleep(0.05)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts a sweep in a session of its own, gone when the test ends."""
    processes: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            _command(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_sweep_killed_and_interrupted_ends_as_if_nothing_had_happened(
    tmp_path: Path,
    finished: tuple[Path, str, str],
    started: Callable[[], subprocess.Popen[str]],
) -> None:
    """SIGKILL to the driver among the streams, Ctrl-C among the tickets, with a run under way."""
    began, killed = time.monotonic(), started()
    while _runs_ended(tmp_path) < 1 or not list((tmp_path / "state").glob("*/*")):
        _wait(killed, began)
    killed.kill()
    killed.wait()
    ended = {path: path.stat().st_mtime_ns for path in (tmp_path / "tables" / "runs").iterdir()}

    began, interrupted = time.monotonic(), started()
    while _runs_ended(tmp_path) < 2 + 4 + 1:
        _wait(interrupted, began)
    interrupted.send_signal(signal.SIGINT)
    said, progress = interrupted.communicate(timeout=120)
    assert interrupted.returncode == 130, progress
    assert "The same command continues them." in said
    assert "Traceback" not in progress

    again = _run(tmp_path)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in ended} == ended, "a finished run ran again"
    assert_same_tables(finished[0], tmp_path)
    assert not list((tmp_path / "state").rglob("*.safetensors"))


def _main(storage: Path, *extra: str) -> int:
    """The script in this process."""
    main = runpy.run_path(str(_SCRIPT))["main"]
    return int(main([*_TINY, "--storage", str(storage), *extra]))


def test_a_dry_run_prints_the_plan_and_touches_nothing(
    tmp_path: Path, finished: tuple[Path, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    storage = tmp_path / "new"
    assert _main(storage, "--dry-run", "--ticket-tasks", "3", "--subnetworks", "dense,reinit") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    # 90 steps a task (45 batches, 2 epochs): 12 tasks; 2 networks on a probe task; 2 tickets, each
    # dense and pruned, and 4 controls
    assert rows[1] == ["streams", "2", "0", "2", "0", "1,080", "2,160"]
    assert rows[2] == ["probes", "2", "0", "2", "0", "180", "360"]
    assert rows[3] == ["measurements", "6", "0", "6", "0", "0", "0"]
    assert rows[4] == ["tickets", "4", "0", "4", "0", "720", "2,880"]
    assert rows[5] == ["ticket", "streams", "8", "0", "8", "0", "270", "2,160"]
    assert rows[6] == ["ticket", "measurements", "24", "0", "24", "0", "0", "0"]
    assert rows[7][0] == "Predicted:"
    assert not storage.exists()
    assert _main(finished[0], "--dry-run") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[4] == ["tickets", "4", "4", "0", "0", "720", "0"]
    assert rows[5:] == [["Nothing", "is", "left", "to", "compute."]], "no fifth stage unless asked"


def test_a_cluster_that_is_not_there_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fuzzing tries the mistakes that need no network."""
    with pytest.raises(SystemExit) as ended:
        _main(tmp_path / "new", "--address", "127.0.0.1:1")
    assert ended.value.code == 2
    said = capsys.readouterr()
    told = without_progress(said.err)
    assert told.startswith("error: --address=127.0.0.1:1: must be the address of a Ray cluster")
    assert told.count("\n") == 1
    assert said.out == ""
    assert not ray.is_initialized()


def test_bad_input_in_a_process_of_its_own(tmp_path: Path) -> None:
    refused = _run(tmp_path / "new", "--sparsities", "1.0")
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        "error: --sparsities=1.0: must be one or more numbers in [0, 1)"
    )
    assert refused.stderr.count("\n") == 1
    assert refused.stdout == ""
