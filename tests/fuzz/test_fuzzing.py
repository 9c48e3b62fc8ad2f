"""Thousands of invalid configurations and command lines: one line each, status 2, nothing begun."""

from __future__ import annotations

import functools
import importlib
import os
import random
import runpy
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import ray

from raylot.command.storage import main as look_after_results
from raylot.config.options import Options
from tests.fuzz.invalid_inputs import Invalid, all_invalid, unlisted_checks, wrong_arguments

_ROOT = Path(__file__).parents[2]
_SCRIPTS = sorted(path.stem for path in (_ROOT / "sweeps").glob("*.py"))
_ANALYSES = sorted(
    path.stem for path in (_ROOT / "analysis").glob("*.py") if "__main__" in path.read_text()
)
_CASES = all_invalid()

#: Seconds that a refusal may take at most, on a machine that has much else to do.
_PATIENCE = 15.0


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory that must stay so, where Ray must not start."""

    def started(*args: object, **options: object) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(ray, "init", started)
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)
    yield working
    assert not ray.is_initialized()
    assert not list(working.iterdir()), "something was written"


def _wrong_with(code: object, out: str, err: str, begins: Sequence[str] = ()) -> str | None:
    """What is wrong with a refusal; None if nothing is."""
    if code != 2:
        return f"ended with {code!r}"
    if out:
        return f"said {out[:200]!r} on stdout"
    if not err.startswith("error: ") or not err.endswith("\n") or len(err.splitlines()) != 1:
        return f"not one line: {err[:500]!r}"
    message = err.removeprefix("error: ").removesuffix("\n")
    if not message.isprintable() or not 5 < len(message) < 3000:
        return f"not fit to be printed: {message[:300]!r} ({len(message)} characters)"
    if begins and not message.startswith(tuple(begins)):
        return f"begins with none of {begins}: {message[:200]!r}"
    return None


def _refused(
    main: Callable[[], int], capsys: pytest.CaptureFixture[str], begins: Sequence[str] = ()
) -> str | None:
    """Runs a command in this process; what is wrong with its refusal."""
    began = time.monotonic()
    code: object
    try:
        code = main()
    except SystemExit as ended:
        code = ended.code
    except BaseException as error:
        capsys.readouterr()
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__name__}: {str(error)[:200]}"
    said = capsys.readouterr()
    seconds = time.monotonic() - began
    if seconds > _PATIENCE:
        return f"took {seconds:.0f} s"
    return _wrong_with(code, said.out, said.err, begins)


def _filled_in(case: Invalid, file: Path) -> list[str]:
    """The command line, and the configuration file where it says."""
    if case.file is not None:
        file.write_bytes(case.file)
    return [argument.replace("{file}", str(file)) for argument in case.arguments]


def _begins(case: Invalid, file: Path) -> list[str]:
    return [begin.replace("{file}", str(file)) for begin in case.begins]


def _told(failures: list[tuple[object, str]]) -> str:
    lines = [f"{reason}\n    {str(case)[:600]}" for case, reason in failures[:40]]
    return f"{len(failures)} were not refused as they should be:\n" + "\n".join(lines)


# ------------------------------------------------------------------ the sweeps' scripts


def test_there_are_thousands_each_once_and_always_the_same() -> None:
    assert len(set(_CASES)) == len(_CASES) >= 2000
    in_files = [case.file for case in _CASES if case.file is not None]
    assert len(set(in_files)) >= 500
    assert all_invalid() == _CASES
    assert Counter(case.kind for case in _CASES).total() == len(_CASES)


def test_every_check_of_the_configuration_is_contradicted() -> None:
    unlisted = unlisted_checks()
    assert not unlisted, f"add what contradicts {unlisted} to _CONTRADICTIONS"


@pytest.mark.parametrize("kind", sorted({case.kind for case in _CASES}))
def test_a_sweep_refuses_it(
    kind: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each with one of the scripts in turn, half of them with a storage of its own."""
    mains = [runpy.run_path(str(_ROOT / "sweeps" / f"{script}.py"))["main"] for script in _SCRIPTS]
    failures: list[tuple[object, str]] = []
    for number, case in enumerate(case for case in _CASES if case.kind == kind):
        arguments = _filled_in(case, tmp_path / "options.yaml")
        storage = tmp_path / "storage"
        names_storage = case.kind == "storage" or (case.file or b"").lstrip(b"'").startswith(
            b"storage"
        )
        if number % 2 and not names_storage:
            arguments = [f"--storage={storage}", *arguments]
        main = functools.partial(mains[number % len(mains)], arguments)
        if reason := _refused(main, capsys, _begins(case, tmp_path / "options.yaml")):
            failures.append((case, reason))
        if storage.exists() or list(place.iterdir()) or ray.is_initialized():
            failures.append((case, "left something behind"))
            break
    assert not failures, _told(failures)


@pytest.mark.parametrize("script", _SCRIPTS)
def test_every_script_refuses_some_of_every_kind(
    script: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main = runpy.run_path(str(_ROOT / "sweeps" / f"{script}.py"))["main"]
    failures: list[tuple[object, str]] = []
    draw = random.Random(script)
    for kind in sorted({case.kind for case in _CASES}):
        of_kind = [case for case in _CASES if case.kind == kind]
        for case in draw.sample(of_kind, min(5, len(of_kind))):
            arguments = _filled_in(case, tmp_path / "options.yaml")
            begins = _begins(case, tmp_path / "options.yaml")
            if reason := _refused(functools.partial(main, arguments), capsys, begins):
                failures.append((case, reason))
    assert not failures, _told(failures)


# ------------------------------------------------------------------ the other command lines


def _no_storages(tmp_path: Path) -> list[str]:
    """What is no storage of a sweep."""
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "empty").mkdir(exist_ok=True)
    return [
        str(tmp_path / "missing"), str(tmp_path / "empty"), str(tmp_path / "file"),
        str(tmp_path / "file" / "x"), "", "/dev/null", "/proc", "foo://bar", "s3://", "http://x/y",
        "~no_such_user_at_all/x", "a\x00b", "a\nb", "\x1b[2J",
    ]  # fmt: skip


def test_the_results_command_refuses_what_it_does_not_know(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines: list[list[str]] = [
        [], ["compact"], ["compress", "x"], ["Compact", "x"], ["compac", "x"], [""], ["§"],
        ["a\nb"], ["\x1b[2J"], ["compact", "x", "\x1b[2J"],
        ["compact", "x", "y"], ["compact", "--all", "x"], ["--verbose", "compact", "x"], ["--"],
        ["compact", "-x"], ["compact", "--storage", "x"], ["compact", "x", "--", "y"], ["-1"],
        ["compact", "x", "a\nb"], ["x" * 10_000], ["compact", "x", "\udcff"], ["compact", "--=3"],
    ]  # fmt: skip
    failures: list[tuple[object, str]] = []
    for line in lines:
        if reason := _refused(functools.partial(look_after_results, line), capsys):
            failures.append((line, reason))
    for storage in _no_storages(tmp_path):
        main = functools.partial(look_after_results, ["compact", storage])
        if reason := _refused(main, capsys, ["storage="]):
            failures.append((storage, reason))
    assert not failures, _told(failures)


@pytest.mark.parametrize("script", _ANALYSES)
def test_an_analysis_refuses_what_it_does_not_know(
    script: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module, command = importlib.import_module(script), importlib.import_module("command")
    own = [
        found
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, Options) and found.__module__ == script
    ]
    (model,) = own or [command.StorageOptions]

    def refused(arguments: list[str], begins: Sequence[str] = ()) -> str | None:
        main = functools.partial(command.run, functools.partial(module.main, arguments))
        return _refused(main, capsys, begins)

    failures: list[tuple[object, str]] = []
    others = {name: field for name, field in model.model_fields.items() if name != "storage"}
    for arguments, name in wrong_arguments(others, random.Random(script)):
        if reason := refused(["missing", *arguments], [f"--{name}="]):
            failures.append((arguments, reason))
    for name in others:
        if reason := refused(["missing", f"--{name}"], [f"--{name}="]):
            failures.append((name, reason))
    for line in (
        [], ["--storage", "x"], ["x", "y"], ["x", "--unknown", "3"], ["x", "--unknown=3"], ["-x"],
        ["x", "§", "a\nb"], ["x", "--a\nb", "3"], ["x", "--" + "a" * 10_000], ["x", "a" * 10_000],
        ["x", "--\udcff"], ["x", "\x1b[2J"], ["x", "--", "--y"], ["x", "--confidenc", "0.9"],
    ):  # fmt: skip
        if reason := refused(line):
            failures.append((line, reason))
    for storage in _no_storages(tmp_path):
        if reason := refused([storage], ["STORAGE="]):
            failures.append((storage, reason))
    assert not failures, _told(failures)


# ------------------------------------------------------------------ processes of their own


def test_some_in_processes_of_their_own(tmp_path: Path) -> None:
    """Ten, each of another kind, two at a time, as a shell would start them."""
    draw = random.Random(12)
    chosen: list[Invalid] = []
    for kind in draw.sample(sorted({case.kind for case in _CASES}), 10):
        words = [case for case in _CASES if case.kind == kind and _can_be_passed(case.arguments)]
        chosen.append(draw.choice(words))
    working = tmp_path / "working"
    working.mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    failures: list[tuple[object, str]] = []
    for first in range(0, len(chosen), 2):
        running = []
        for number in range(first, min(first + 2, len(chosen))):
            arguments = _filled_in(chosen[number], tmp_path / f"{number}.yaml")
            script = _ROOT / "sweeps" / f"{_SCRIPTS[number % len(_SCRIPTS)]}.py"
            process = subprocess.Popen(
                [sys.executable, str(script), *arguments], cwd=working, env=environment,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            running.append((chosen[number], process, tmp_path / f"{number}.yaml"))
        for case, process, file in running:
            out, err = process.communicate(timeout=240)
            begins = _begins(case, file)
            reason = _wrong_with(process.returncode, out.decode(), err.decode(), begins)
            if reason:
                failures.append((case, reason))
    assert not failures, _told(failures)
    assert not list(working.iterdir())


def _can_be_passed(arguments: Sequence[str]) -> bool:
    """Whether a process can be started with these: none holds a NUL, or more than Linux takes."""
    return all("\x00" not in argument and len(argument) < 100_000 for argument in arguments)
