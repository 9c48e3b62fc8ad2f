"""Which commit a file comes from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from raylot.foundation.git import commit_of


def git(folder: Path, *words: str) -> str:
    name = ["-c", "user.name=A", "-c", "user.email=a@b"]
    command = ["git", "-C", str(folder), *name, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with two tracked files and an ignored folder."""
    folder = tmp_path / "clone"
    (folder / "inner").mkdir(parents=True)
    (folder / ".venv").mkdir()
    (folder / "inner" / "mine.py").write_text("a = 1\n")
    (folder / "other.py").write_text("b = 1\n")
    (folder / ".gitignore").write_text(".venv\n")
    git(tmp_path, "init", "-q", str(folder))
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def test_a_clean_tree_has_its_commit_whatever_else_lies_there(clone: Path) -> None:
    (clone / "results").mkdir()
    (clone / "results" / "table.parquet").write_text("rows")
    assert commit_of(clone / "inner" / "mine.py") == git(clone, "rev-parse", "HEAD")


@pytest.mark.parametrize("changed", ["inner/mine.py", "other.py"])
def test_a_changed_tree_is_dirty(clone: Path, changed: str) -> None:
    (clone / changed).write_text("c = 2\n")
    head = git(clone, "rev-parse", "HEAD")
    assert commit_of(clone / "inner" / "mine.py") == f"{head}-dirty"
    git(clone, "commit", "-qam", "second")
    assert commit_of(clone / "inner" / "mine.py") == git(clone, "rev-parse", "HEAD") != head


def test_a_file_that_git_does_not_track_is_dirty(clone: Path) -> None:
    (clone / "new.py").write_text("")
    assert commit_of(clone / "new.py") == git(clone, "rev-parse", "HEAD") + "-dirty"


def test_an_ignored_file_and_one_outside_of_clones_have_no_commit(
    clone: Path, tmp_path: Path
) -> None:
    for file in (clone / ".venv" / "package.py", tmp_path / "alone.py"):
        file.write_text("")
        assert commit_of(file) is None


def test_it_is_none_without_git(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(clone))
    assert commit_of(clone / "other.py") is None


def test_the_clone_of_a_hook_that_calls_raylot_is_not_taken_for_it(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q", str(tmp_path / "outer"))
    head = git(clone, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "outer" / ".git"))
    assert commit_of(clone / "other.py") == head
