"""What some tests need and not every machine has: (Fashion-)MNIST, Chromium, a GPU, rights.

A test without it is skipped, and pytest's last line says how to have it. Where the environment
variable ``RAYLOT_SKIP_NOTHING`` is set, as in CI, the test fails instead.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import pytest
from filelock import FileLock

STRICT = "RAYLOT_SKIP_NOTHING"

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

_MNIST_HELP = (
    "MNIST (set RAYLOT_MNIST to the folder that holds MNIST/raw/train-images-idx3-ubyte and its "
    "three siblings, or run the tests once with a network that reaches torchvision's mirrors)"
)
_FASHION_HELP = "Fashion-MNIST (Debian: apt-get install dataset-fashion-mnist)"
_BROWSER_HELP = (
    "Chromium or Chrome (Debian: apt-get install chromium; RAYLOT_CHROMIUM can name the program)"
)


def skip_without(what: str) -> NoReturn:
    """Skips the test that runs, or fails it where nothing may be skipped.

    Args:
        what: is missing, and how to have it, to follow the words "needs ".
    """
    if os.environ.get(STRICT):
        pytest.fail(f"needs {what}; {STRICT} is set, so this is an error", pytrace=False)
    pytest.skip(f"needs {what}")


def mnist_root() -> Path:
    """The folder that holds MNIST in torchvision's layout.

    The first of these that has it: ``RAYLOT_MNIST``, ``../shared/data`` beside the clone, a folder
    in the user's cache, which torchvision fills if it can. If ``RAYLOT_MNIST`` is set, only that.
    """
    named = os.environ.get("RAYLOT_MNIST")
    if named:
        candidates = [Path(named)]
    else:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        cache = caches / "raylot-tests"
        candidates = [Path(__file__).resolve().parents[3] / "shared" / "data", cache]
    if not any(map(_holds_mnist, candidates)) and not named:
        _download_mnist(cache)
    for root in candidates:
        if _holds_mnist(root):
            return root
    skip_without(_MNIST_HELP)


def fashion_mnist() -> Path:
    """The folder in which Debian's package keeps the four gzipped files of Fashion-MNIST."""
    folder = Path("/usr/share/datasets/fashion-mnist")
    return folder if folder.is_dir() else skip_without(_FASHION_HELP)


def _holds_mnist(root: Path) -> bool:
    return (root / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file()


def _download_mnist(cache: Path) -> None:
    """Lets torchvision download MNIST, once for all test processes of this machine."""
    from torchvision.datasets import MNIST

    cache.mkdir(parents=True, exist_ok=True)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(10)  # torchvision itself would wait without end
    try:
        with FileLock(cache / "download.lock"):
            if not _holds_mnist(cache):
                MNIST(str(cache), download=True)
    except (OSError, RuntimeError):
        pass  # no network: the caller says what is missing
    finally:
        socket.setdefaulttimeout(before)


def browser() -> str:
    """The program that `RAYLOT_CHROMIUM` names, or a Chromium or Chrome that is installed."""
    found = os.environ.get("RAYLOT_CHROMIUM") or next(
        filter(None, map(shutil.which, _BROWSERS)), None
    )
    return found or skip_without(_BROWSER_HELP)


def closing_line(reasons: Iterable[str]) -> str:
    """What was skipped and how to have it, in one line; empty if nothing was.

    Args:
        reasons: why each skipped test was skipped.
    """
    counts = Counter(reason.removeprefix("Skipped: ") for reason in reasons)
    if not counts:
        return ""
    parts = [f"{count} x {reason}" for reason, count in sorted(counts.items())]
    return "Skipped tests: " + "; ".join(parts)
