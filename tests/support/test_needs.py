"""Tests that lack something are skipped with one line that says how to have it, or fail."""

from __future__ import annotations

import functools
import gzip
import http.server
import os
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support import needs

_ROOT = Path(__file__).parents[2]


def _pytest(folder: Path, test: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs one test file in a clone of its own, which has this clone's conftest.py."""
    tests = folder / "clone" / "tests"
    tests.mkdir(parents=True)
    (tests / "conftest.py").write_text((_ROOT / "tests" / "conftest.py").read_text())
    (tests / "support").mkdir()
    (tests / "support" / "needs.py").write_text(Path(needs.__file__).read_text())
    for package in (tests, tests / "support"):  # else Python would find this clone's, installed
        (package / "__init__.py").touch()
    (tests / "test_it.py").write_text(test)
    for name in ("RAYLOT_MNIST", "RAYLOT_CHROMIUM", needs.STRICT, "PYTEST_ADDOPTS"):
        environment.setdefault(name, "")
    away = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}  # no network
    environment |= away | {"XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": "."}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_it.py"],
        cwd=tests.parent, env={**os.environ, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


_TWO_NEED_MNIST = "def test_a(mnist_root): pass\ndef test_b(mnist_root): pass\n"
_ONE_NEEDS_A_BROWSER = (
    "from tests.support import needs\ndef test_a(): assert needs.browser()\n"
)  # fmt: skip


def test_without_mnist_one_closing_line_says_how_to_have_it(tmp_path: Path) -> None:
    done = _pytest(tmp_path, _TWO_NEED_MNIST)
    assert done.returncode == 0, done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("Skipped tests")]
    assert line.startswith("Skipped tests: 2 x needs MNIST (set RAYLOT_MNIST to the folder")


@pytest.mark.parametrize("test", [_TWO_NEED_MNIST, _ONE_NEEDS_A_BROWSER])
def test_where_nothing_may_be_skipped_it_is_an_error(test: str, tmp_path: Path) -> None:
    done = _pytest(tmp_path, test, PATH=str(tmp_path), **{needs.STRICT: "1"})
    assert done.returncode == 1
    assert f"{needs.STRICT} is set, so this is an error" in done.stdout
    assert "skipped" not in done.stdout


def test_a_folder_that_is_named_but_holds_no_mnist_is_not_replaced(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = _pytest(tmp_path, _TWO_NEED_MNIST, RAYLOT_MNIST=str(empty), **{needs.STRICT: "1"})
    assert done.returncode == 1


def test_torchvision_fills_the_cache_where_a_network_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a mirror on this machine, as it may have no network; the files are tiny."""
    from torchvision.datasets import MNIST

    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for name, _ in MNIST.resources:
        is_images = "images" in name
        head = struct.pack(">IIII", 2051, 1, 28, 28) if is_images else struct.pack(">II", 2049, 1)
        content = gzip.compress(head + bytes(784 if is_images else 1))
        (mirror / name).write_bytes(content)
    serve = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(mirror))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    monkeypatch.setattr(MNIST, "resources", [(name, None) for name, _ in MNIST.resources])
    monkeypatch.delenv("RAYLOT_MNIST", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(needs, "__file__", str(tmp_path / "a" / "b" / "c" / "needs.py"))
    root = needs.mnist_root()
    server.shutdown()
    assert root == tmp_path / "cache" / "raylot-tests"
    assert len(MNIST(str(root), train=False)) == 1
