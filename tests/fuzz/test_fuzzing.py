"""Invalid configurations and command lines: one line each, status 2, and nothing has begun.

A sample with every option in it; all of them, thousands, with ``pytest -m slow``.
"""

from __future__ import annotations

import importlib
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import ray

from raylot.analysis.command import StorageOptions
from raylot.command.analyses import ANALYSES
from raylot.command.main import main
from raylot.command.studies import STUDIES
from raylot.config.options import Options
from tests.fuzz.invalid_inputs import (
    Invalid,
    all_invalid,
    sample,
    unlisted_checks,
    wrong_arguments,
)
from tests.support.progress import without_progress

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


def _refused(
    words: list[str], capsys: pytest.CaptureFixture[str], begins: Sequence[str] = ()
) -> str | None:
    """Runs the command in this process; what is wrong with its refusal, None if nothing is."""
    began = time.monotonic()
    code: object
    try:
        code = main(words)
    except SystemExit as ended:
        code = ended.code
    except Exception as error:
        capsys.readouterr()
        return f"{type(error).__name__}: {str(error)[:200]}"
    said = capsys.readouterr()
    told = without_progress(said.err)
    message = told.removeprefix("error: ").removesuffix("\n")
    if time.monotonic() - began > _PATIENCE:
        return "took too long"
    if code != 2 or said.out:
        return f"ended with {code!r}, said {said.out[:200]!r} on stdout"
    if told != f"error: {message}\n" or not message.isprintable():
        return f"not one line that can be printed: {said.err[:500]!r}"
    if not 5 < len(message) < 3000:
        return f"has {len(message)} characters: {message[:300]!r}"
    if begins and not message.startswith(tuple(begins)):
        return f"begins with none of {begins}: {message[:200]!r}"
    return None


def _told(failures: list[tuple[object, str]]) -> str:
    lines = [f"{reason}\n    {str(case)[:600]}" for case, reason in failures[:40]]
    return f"{len(failures)} were not refused as they should be:\n" + "\n".join(lines)


# ------------------------------------------------------------------ raylot sweep


def test_each_is_there_once_and_always_the_same() -> None:
    assert len(set(_CASES)) == len(_CASES) >= 2000
    assert all_invalid() == _CASES
    assert {case.about for case in sample(_CASES)} == {case.about for case in _CASES}


def test_every_check_of_the_configuration_is_contradicted() -> None:
    unlisted = unlisted_checks()
    assert not unlisted, f"add what contradicts {unlisted} to _CONTRADICTIONS"


@pytest.mark.parametrize(
    "cases",
    [
        pytest.param(sample(_CASES), id="sample"),
        pytest.param(_CASES, id="all", marks=pytest.mark.slow),
    ],
)
def test_a_sweep_refuses_it(
    cases: list[Invalid], place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each with one of the studies in turn, half of them with a storage of its own."""
    failures: list[tuple[object, str]] = []
    file, storage, studies = tmp_path / "options.yaml", tmp_path / "storage", list(STUDIES)
    for number, case in enumerate(cases):
        if case.file is not None:
            file.write_bytes(case.file)
        words = [word.replace("{file}", str(file)) for word in case.arguments]
        names_storage = case.kind == "storage" or (case.file or b"").lstrip(b"'").startswith(
            b"storage"
        )
        if number % 2 and not names_storage:
            words = [f"--storage={storage}", *words]
        begins = [begin.replace("{file}", str(file)) for begin in case.begins]
        study = studies[number % len(studies)]
        if study == "best-settings" and "--samples=" in begins:
            study = "ticket-count-vs-plasticity"  # best-settings itself says how many to draw
        in_file = (case.file or b"").decode(errors="replace").splitlines()
        given = {*words, *(f"--{line.partition(':')[0]}" for line in in_file)}
        if study == "best-settings" and {"--head-reset", "--criterion"} <= given:
            study = "ticket-count-vs-plasticity"  # best-settings searches no tickets
        if study == "best-settings" and {"--share", "--until-width"} <= given:
            study = "ticket-count-vs-plasticity"  # best-settings has neither
        if reason := _refused(["sweep", study, *words], capsys, begins):
            failures.append((case, reason))
        if storage.exists() or list(place.iterdir()) or ray.is_initialized():
            failures.append((case, "left something behind"))
            break
    assert not failures, _told(failures)


# ------------------------------------------------------------------ the other commands

#: What comes after a command that takes a storage, and nothing else.
_WRONG_LINES = [
    [], ["x", "y"], ["--storage", "x"], ["x", "--unknown", "3"], ["x", "--unknown=3"], ["-x"],
    ["x", "a\nb"], ["x", "--a\nb", "3"], ["x", "a" * 10_000], ["x", "--\udcff"], ["x", "\x1b[2J"],
    ["x", "--", "--y"], ["x", "--=3"],
]  # fmt: skip

#: How the refusals of these begin: none of them looks for the storage first.
_WRONG_LINES_BEGIN = [
    "unrecognized arguments",
    "the following arguments are required",
    "x: unknown",
]


def _no_storages(tmp_path: Path) -> list[str]:
    """What is no storage of a sweep."""
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "empty").mkdir(exist_ok=True)
    return [
        str(tmp_path / "missing"), str(tmp_path / "empty"), str(tmp_path / "file"),
        str(tmp_path / "file" / "x"), "", "/dev/null", "/proc", "foo://bar", "s3://", "http://x/y",
        "~no_such_user_at_all/x", "a\x00b", "a\nb", "\x1b[2J",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "command",
    ["report", "check", "compact", "analyse", *(f"analyse {name}" for name in ANALYSES)],
)
def test_the_other_commands_refuse_it(
    command: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = [
        ((command, line), reason)
        for line in _WRONG_LINES
        if (reason := _refused([*command.split(), *line], capsys, _WRONG_LINES_BEGIN))
    ]
    for storage in _no_storages(tmp_path):
        if reason := _refused([*command.split(), storage], capsys, ["STORAGE="]):
            failures.append(((command, storage), reason))
    assert not failures, _told(failures)


@pytest.mark.parametrize("name", ANALYSES)
def test_an_analysis_refuses_wrong_options(
    name: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(ANALYSES[name])
    own = [
        found
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, Options)
        if found.__module__ == module.__name__
    ]
    (model,) = own or [StorageOptions]
    options = {name: field for name, field in model.model_fields.items() if name != "storage"}
    lines = [*wrong_arguments(options, random.Random(name))]
    lines += [((_dashed(option),), option) for option in options]
    failures = [
        (words, reason)
        for words, option in lines
        if (
            reason := _refused(
                ["analyse", name, "missing", *words], capsys, [f"{_dashed(option)}="]
            )
        )
    ]
    assert not failures, _told(failures)


def _dashed(option: str) -> str:
    return f"--{option.replace('_', '-')}"
