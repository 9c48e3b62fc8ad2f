"""The packages behind a storage's runs."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from raylot.foundation.version import VERSION
from raylot.results import environment
from raylot.results.environment import record_environment
from raylot.storage import Storage


def test_packages_are_written_once_with_their_versions(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    record_environment(storage)
    file = tmp_path / "environment.txt"
    written = file.read_text()
    lines = written.splitlines()
    assert lines[0].startswith("# since 20")
    assert lines[1].startswith(f"# raylot {VERSION}, Python {sys.version.split()[0]}, ")
    for package in ("numpy", "torch", "ray"):
        assert f"{package}=={version(package)}" in lines
    assert lines[2:] == sorted(lines[2:])
    record_environment(storage)
    assert file.read_text() == written


def test_another_environment_is_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(tmp_path)
    record_environment(storage)
    written = (tmp_path / "environment.txt").read_text()
    one = next(iter(environment.distributions()))
    monkeypatch.setattr(environment, "distributions", lambda: [one, one])
    record_environment(storage)
    record_environment(storage)
    added = (tmp_path / "environment.txt").read_text().removeprefix(written).splitlines()
    assert len(added) == 3
    assert added[2] == f"{one.name}=={one.version}"


def test_shares_on_machines_of_two_kinds_add_each_environment_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, (one, other, *_) = Storage(tmp_path), list(environment.distributions())
    for found in ([one], [other], [one], [other]):
        monkeypatch.setattr(environment, "distributions", lambda found=found: found)
        record_environment(storage, is_share=True)
    assert (tmp_path / "environment.txt").read_text().count("# since") == 2
