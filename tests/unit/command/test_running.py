"""From a command line to its exit status, where everything has ended: without Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from raylot import results
from raylot.command.script import conduct
from raylot.config import Study
from raylot.storage import Storage
from raylot.sweep import Sweep, study_spaces
from raylot.sweep.outcome import CONTINUE

_OPTIONS = {"tasks": 3, "snapshots": "0", "sparsities": "0.5", "seeds": "0-1", "rounds": 1,
            "shifts": "stationary"}  # fmt: skip
_ANALYSES = {"first.py": "streams", "second.py": "tickets"}


def _place(tmp_path: Path) -> Path:
    """A folder with a sweep's script, and analyses that say their name."""
    for folder in ("sweeps", "analysis"):
        (tmp_path / folder).mkdir()
    for name in _ANALYSES:
        (tmp_path / "analysis" / name).write_text(f"print('this is {name}')\n")
    return tmp_path


def _command(place: Path, *extra: str) -> int:
    given = [f"--{name.replace('_', '-')}={value}" for name, value in _OPTIONS.items()]
    arguments = [*given, f"--storage={place / 'storage'}", *extra]
    script = place / "sweeps" / "study.py"
    return conduct(script, "", study_spaces, analyses=_ANALYSES, arguments=arguments)


def _end(place: Path, **statuses: str) -> None:
    """Writes that all runs of stages have ended in a way; stage -> how."""
    storage = Storage(place / "storage")
    base = {"lr": 0.005, "epochs": 4, "tickets": 4, "shuffled_masks": 2, "reinit_tickets": 2}
    study = Study.checked(**base, **_OPTIONS)
    for stage in Sweep(study, storage, *study_spaces(study)).stages:
        for run in stage.runs if stage.name in statuses else ():
            row: dict[str, Any] = {**results.identity_columns(run), "kind": run.kind}
            row |= {"status": statuses[stage.name], "error": "ValueError: too bad"}
            results.write(storage, "runs", run.run_id, [row])


def test_a_sweep_of_which_everything_failed_ends_with_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = _place(tmp_path)
    _end(place, streams="failed")
    assert _command(place) == 1
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == "0 runs finished, 2 failed (try again with --retry-failed), 2 missing"
    assert [line.split(":")[0].strip() for line in lines[1:3]] == ["failed", "failed"]
    assert lines[3].startswith("2 runs cannot be computed")
    assert len(lines) == 4
    assert said.err == ""
    assert not (place / "storage" / "analysis").exists()


def test_an_analysis_whose_stage_has_no_finished_run_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = _place(tmp_path)
    _end(place, streams="finished", tickets="diverged")
    assert _command(place) == 0
    said = capsys.readouterr()
    assert "this is first.py" in said.out
    assert "left out  second.py: none of the tickets has finished" in said.out
    assert "this is second.py" not in said.out


def test_a_command_with_nothing_to_do_does_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = _place(tmp_path)
    _end(place, streams="finished", tickets="finished")
    assert _command(place) == 0
    first = capsys.readouterr().out
    assert "4 runs finished" in first
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*") if path.is_file()}
    assert _command(place) == 0
    again = capsys.readouterr().out
    assert [line for line in again.splitlines() if line.startswith("unchanged")] == [
        f"unchanged  {name}: nothing that it reads has changed since it ended with:"
        for name in _ANALYSES
    ]
    assert all(f"this is {name}\n" in again for name in _ANALYSES)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert sorted(before) == sorted(path for path in place.rglob("*") if path.is_file())


def _command_without_ray_and_torch(
    place: Path, monkeypatch: pytest.MonkeyPatch, *extra: str
) -> int:
    for name in [name for name in sys.modules if name.split(".")[0] == "raylot"]:
        monkeypatch.delitem(sys.modules, name)  # they are imported again
    for name in ("ray", "torch"):
        monkeypatch.setitem(sys.modules, name, None)  # and these can no longer be
    import raylot.command.script
    from raylot.sweep import study_spaces as spaces

    arguments = [f"--{n}={v}" for n, v in _OPTIONS.items()]
    arguments += [f"--storage={place / 'storage'}", *extra]
    script = place / "sweeps" / "study.py"
    return raylot.command.script.conduct(
        script, "", spaces, analyses=_ANALYSES, arguments=arguments
    )


def test_it_does_nothing_without_ray_and_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = _place(tmp_path)
    _end(place, streams="finished", tickets="finished")
    assert _command_without_ray_and_torch(place, monkeypatch) == 0


@pytest.mark.parametrize("extra", [[], ["--dry-run"], ["--data-root=/nowhere"]])
def test_missing_data_is_told_before_torch_is_imported(
    extra: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = _place(tmp_path)
    with pytest.raises(SystemExit) as ended:
        _command_without_ray_and_torch(place, monkeypatch, "--dataset=mnist", *extra)
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
    when: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = _place(tmp_path)
    _end(place, streams="finished", tickets="finished")
    if when == "just now":
        monkeypatch.setattr(Sweep, "is_finished", lambda sweep, retry_failed: False)
    (place / "analysis" / "first.py").write_text(
        "import os, sys\n"
        "os.rename(sys.argv[1], sys.argv[1] + '_elsewhere')\n"
        "open(sys.argv[1], 'w').close()\n"  # so that nobody makes the folder again
    )
    assert _command(place) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: storage={place / 'storage'}: is out of reach (")
    assert error.endswith(f" {CONTINUE}\n")


def test_ctrl_c_ends_an_analysis_too(tmp_path: Path) -> None:
    place = _place(tmp_path)
    _end(place, streams="finished")
    sleeping = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n"
    (place / "analysis" / "first.py").write_text(sleeping)
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job has none
        f"sys.path.insert(0, {str(Path(__file__).parents[3])!r})\n"
        "from pathlib import Path\n"
        "from tests.unit.command.test_running import _command\n"
        f"sys.exit(_command(Path({str(place)!r})))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    pid = next(int(line) for line in process.stdout if line.strip().isdigit())
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.endswith("\nInterrupted.\n")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
