"""From a command line to its exit status, where everything has ended: without Ray."""

from __future__ import annotations

import os
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from raylot import results
from raylot.command import analyses
from raylot.command.studies import StudyKind, run_study
from raylot.config import Study
from raylot.storage import Storage
from raylot.sweep import study_spaces
from raylot.sweep.outcome import CONTINUE
from raylot.sweep.sweep import Sweep

_OPTIONS = {"tasks": 3, "snapshots": "0", "sparsities": "0.5", "seeds": "0-1", "rounds": 1,
            "shifts": "stationary"}  # fmt: skip
_KIND = StudyKind("study", "", {"first": "streams", "second": "tickets"})


@pytest.fixture(autouse=True)
def said_by_analyses(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[str], object]]:
    """Two analyses that say their name; name -> what each does with the storage's root."""
    does: dict[str, Callable[[str], object]] = {}
    for name in _KIND.analyses:
        does[name] = lambda root, name=name: print(f"this is {name}")
        module: Any = types.ModuleType(f"analysis_{name}")
        module.main = lambda arguments, name=name: does[name](*arguments)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(analyses.ANALYSES, name, module.__name__)
    return does


def _arguments(place: Path, *extra: str) -> list[str]:
    given = [f"--{name.replace('_', '-')}={value}" for name, value in _OPTIONS.items()]
    return [*given, f"--storage={place / 'storage'}", *extra]


def _command(place: Path, *extra: str) -> int:
    return run_study(_KIND, study_spaces, _arguments(place, *extra))


def _end(place: Path, **statuses: str) -> None:
    """Writes that all runs of stages have ended in a way; stage -> how."""
    storage = Storage(place / "storage")
    base = {
        "lr": 0.005, "epochs": 4, "search_task": "probe", "tickets": 4, "reinit_tickets": 2,
    }  # fmt: skip
    study = Study.checked(**base, **_OPTIONS)
    for stage in Sweep(study, storage, *study_spaces(study)).stages:
        for run in stage.runs if stage.name in statuses else ():
            row: dict[str, Any] = {**results.identity_columns(run), "kind": run.kind}
            row |= {"status": statuses[stage.name], "error": "ValueError: too bad"}
            results.write(storage, "runs", run.run_id, [row])


def test_a_sweep_of_which_everything_failed_ends_with_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _end(tmp_path, streams="failed")
    assert _command(tmp_path) == 1
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == "0 runs finished, 2 failed (try again with --retry-failed), 14 missing"
    assert [line.split(":")[0].strip() for line in lines[1:3]] == ["failed", "failed"]
    assert lines[3].startswith("14 runs cannot be computed")
    assert len(lines) == 4
    assert said.err == ""
    assert not (tmp_path / "storage" / "analysis").exists()


def test_an_analysis_whose_stage_has_no_finished_run_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _end(
        tmp_path, streams="finished", probes="finished", measurements="finished", tickets="diverged"
    )
    assert _command(tmp_path) == 0
    said = capsys.readouterr()
    assert "this is first" in said.out
    assert "left out  second: none of the tickets has finished" in said.out
    assert "this is second" not in said.out


def test_a_command_with_nothing_to_do_does_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _end(
        tmp_path, streams="finished", probes="finished", measurements="finished", tickets="finished"
    )
    assert _command(tmp_path) == 0
    first = capsys.readouterr().out
    assert "16 runs finished" in first
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert _command(tmp_path) == 0
    again = capsys.readouterr().out
    assert [line for line in again.splitlines() if line.startswith("unchanged")] == [
        f"unchanged  {name}: nothing that it reads has changed since it ended with:"
        for name in _KIND.analyses
    ]
    assert all(f"this is {name}\n" in again for name in _KIND.analyses)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert sorted(before) == sorted(path for path in tmp_path.rglob("*") if path.is_file())


def _command_without_ray_and_torch(
    place: Path, monkeypatch: pytest.MonkeyPatch, *extra: str
) -> int:
    for name in [name for name in sys.modules if name.split(".")[0] == "raylot"]:
        monkeypatch.delitem(sys.modules, name)  # they are imported again
    for name in ("ray", "torch"):
        monkeypatch.setitem(sys.modules, name, None)  # and these can no longer be
    from raylot.command.studies import StudyKind, run_study
    from raylot.sweep import study_spaces

    return run_study(StudyKind("study", "", {}), study_spaces, _arguments(place, *extra))


def test_it_does_nothing_without_ray_and_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _end(
        tmp_path, streams="finished", probes="finished", measurements="finished", tickets="finished"
    )
    assert _command_without_ray_and_torch(tmp_path, monkeypatch) == 0


@pytest.mark.parametrize("extra", [[], ["--dry-run"], ["--data-root=/nowhere"]])
def test_missing_data_is_told_before_torch_is_imported(
    extra: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        _command_without_ray_and_torch(tmp_path, monkeypatch, "--dataset=mnist", *extra)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    if "--data-root=/nowhere" in extra:
        assert error.startswith("error: --data-root=/nowhere: must be a folder that holds MNIST")
        assert error.endswith("; --download puts them there\n")
    else:
        assert error == (
            "error: --data-root is not given: must be the folder that holds MNIST in "
            "torchvision's layout (with --download, where to put it)\n"
        )


@pytest.mark.parametrize("when", ["finished before", "just now"])
def test_a_storage_that_goes_away_during_the_analyses_is_no_mistake_of_the_user(
    when: str,
    tmp_path: Path,
    said_by_analyses: dict[str, Callable[[str], object]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lose(root: str) -> None:
        Path(root).rename(f"{root}_elsewhere")
        Path(root).touch()  # so that nobody makes the folder again

    _end(
        tmp_path, streams="finished", probes="finished", measurements="finished", tickets="finished"
    )
    if when == "just now":
        monkeypatch.setattr(Sweep, "finished", lambda sweep, retry_failed: None)
    said_by_analyses["first"] = lose
    assert _command(tmp_path) == 1
    lines = capsys.readouterr().err.splitlines()  # Ray may write among them
    [error] = [line for line in lines if line.startswith("error: ")]
    assert error.startswith(f"error: storage={tmp_path / 'storage'}: is out of reach (")
    assert error.endswith(f" {CONTINUE}")


@pytest.fixture
def pythons_handler() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also where a shell has started the tests with ``&``."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("pythons_handler")
def test_ctrl_c_ends_an_analysis_too(
    tmp_path: Path,
    said_by_analyses: dict[str, Callable[[str], object]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def sleep(root: str) -> None:
        signal.raise_signal(signal.SIGINT)
        time.sleep(60)

    _end(
        tmp_path, streams="finished", probes="finished", measurements="finished", tickets="finished"
    )
    said_by_analyses["first"] = sleep
    assert _command(tmp_path) == 130
    said = capsys.readouterr().out
    assert said.endswith(f"\nInterrupted. {CONTINUE}\n")
    assert "this is second" not in said


# ------------------------------------------------------------------ the user's own command


_SAYING = 'echo "$RAYLOT_STATUS $RAYLOT_STORAGE" > said.txt'


@pytest.mark.parametrize(("streams", "status"), [("finished", 0), ("failed", 1)])
def test_a_command_of_the_user_learns_how_the_sweep_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streams: str, status: int
) -> None:
    monkeypatch.chdir(tmp_path)
    others = dict.fromkeys(("probes", "measurements", "tickets"), "finished")
    _end(tmp_path, streams=streams, **(others if streams == "finished" else {}))
    assert _command(tmp_path, f"--on-end={_SAYING}") == status
    assert (tmp_path / "said.txt").read_text() == f"{status} {tmp_path / 'storage'}\n"


def test_a_command_of_the_user_that_fails_is_told_and_changes_no_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _end(tmp_path, streams="failed")
    assert _command(tmp_path, "--on-end", "exit 7") == 1
    assert capsys.readouterr().err == "--on-end ended with status 7.\n"


@pytest.mark.usefixtures("pythons_handler")
def test_ctrl_c_ends_a_command_of_the_user_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _end(tmp_path, streams="failed")
    assert _command(tmp_path, "--on-end", f"kill -INT {os.getpid()}; sleep 1") == 130
    assert capsys.readouterr().out.endswith("\nInterrupted.\n")


def test_a_dry_run_and_a_mistake_are_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Sweep, "prediction", lambda sweep, say: say("measuring ...") or "soon")
    assert _command(tmp_path, "--on-end", _SAYING, "--dry-run") == 0
    said = capsys.readouterr()
    assert said.out.endswith("\nsoon\n")
    assert said.err == "checking networks ...\nmeasuring ...\n"
    for wrong in (["--epochs", "0"], ["--storage=/dev/null/x"]):
        with pytest.raises(SystemExit) as ended:
            _command(tmp_path, "--on-end", _SAYING, *wrong)
        assert ended.value.code == 2
    assert not (tmp_path / "said.txt").exists()
    with pytest.raises(SystemExit):
        _command(tmp_path, "--on-end", " ")
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "error: --on-end= : must be a shell command"


@pytest.mark.parametrize("given", [["--on-end", "curl https://hooks/T0/B0"], ["--on-end=x y"]])
def test_a_command_of_the_user_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str]
) -> None:
    kept = []

    def ended(sweep: Sweep, *, command: str, **how: Any) -> Any:
        kept.append(command)
        raise KeyboardInterrupt

    monkeypatch.setattr(Sweep, "run", ended)
    monkeypatch.setattr(Sweep, "check", lambda sweep, **how: [])
    monkeypatch.setattr("raylot.command.running.subprocess.run", lambda *a, **k: _Done())
    assert _command(tmp_path, *given, "--epochs", "3") == 130
    (line,) = kept
    assert line.endswith(" --epochs 3")
    assert "on-end" not in line
    assert "hooks" not in line
    assert "x y" not in line


class _Done:
    returncode = 0
