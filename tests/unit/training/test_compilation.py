"""Compiled code is kept on disk where that works; where it does not, only time is lost."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from numba.core import config

from raylot.training.fast import compilation
from raylot.training.fast.compilation import Kernel

_SOURCE = '''\
"""A function that is quickly compiled."""


def half_sum(a, b):
    return (a + b) / 2
'''


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A module in a folder of its own."""
    path = tmp_path / "code" / "tiny.py"
    path.parent.mkdir()
    path.write_text(_SOURCE)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder where numba keeps what it compiles: NUMBA_CACHE_DIR."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setattr(config, "CACHE_DIR", str(folder))
    return folder


def _module(source: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("tiny", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _kernel(source: Path) -> Kernel:
    """As another process has it: nothing of it is compiled yet."""
    return Kernel(_module(source).half_sum, "float64", ["float64", "float64"])


def _works(kernel: Kernel) -> bool:
    """Whether a kernel computes what it should, without any warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return bool(kernel(1.0, 4.0) == 2.5 and kernel(2.0, 2.0) == 2.0)


def _hits(kernel: Kernel) -> int:
    """Compilations that the cache saved."""
    compiled: Any = kernel._compiled
    return sum(compiled.stats.cache_hits.values())


def _kept(cache: Path, ending: str) -> list[Path]:
    return sorted(cache.rglob(f"*.{ending}"))


def test_compiled_once_and_found_from_then_on(source: Path, cache: Path) -> None:
    first, second = _kernel(source), _kernel(source)
    assert _kept(cache, "nbi") == []  # nothing is compiled before it is called
    assert _works(first)
    assert _hits(first) == 0
    assert len(_kept(cache, "nbi")) == len(_kept(cache, "nbc")) == 1
    assert _works(second)
    assert _hits(second) == 1


def _truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _garble(path: Path) -> None:
    path.write_bytes(b"\x80\x04garbage" * 100)


def _make_a_folder(path: Path) -> None:
    """Neither readable nor replaceable as a file, for root neither."""
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [_truncate, _empty, _garble, _make_a_folder])
@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_damaged_files_cost_time_alone(
    source: Path, cache: Path, ending: str, damage: Callable[[Path], None]
) -> None:
    assert _works(_kernel(source))
    (path,) = _kept(cache, ending)
    damage(path)
    for _ in range(2):
        kernel = _kernel(source)
        assert _works(kernel)


@pytest.fixture
def no_cache(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files stand where any folder for the cache would be: none can be made, by root neither."""
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setattr(config, "CACHE_DIR", str(file))
    (source.parent / "__pycache__").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    monkeypatch.setenv("HOME", str(file))


@pytest.mark.usefixtures("no_cache")
def test_it_works_without_any_folder_for_the_cache(source: Path) -> None:
    before = sorted(source.parent.rglob("*"))
    assert _works(_kernel(source))
    assert sorted(source.parent.rglob("*")) == before


@pytest.mark.parametrize("is_filled", [False, True])
def test_a_folder_that_turns_read_only(
    source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, is_filled: bool
) -> None:
    """After numba has found it writable; what is there is still used."""
    if is_filled:
        assert _works(_kernel(source))

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    # permissions do not stop root
    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile._open_for_write", refuse)
    kernel = _kernel(source)
    assert _works(kernel)
    assert _hits(kernel) == is_filled
    assert len(_kept(cache, "nbc")) == is_filled


def test_what_cannot_be_compiled_is_no_secret(cache: Path) -> None:
    def wrong(a: Any) -> Any:
        return a.nothing

    with pytest.raises(Exception, match="nothing"):
        Kernel(wrong, "float64", ["float64"])(1.0)


def test_kernels_are_compiled_anew_when_what_they_call_changes(
    source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """numba itself would look at the kernel's own file only."""
    assert _works(_kernel(source))
    monkeypatch.setattr(compilation, "CALLED_HASH", "another")
    kernel = _kernel(source)
    assert _works(kernel)
    assert _hits(kernel) == 0
