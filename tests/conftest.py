"""What all tests share: the real MNIST, one thread, and hypothesis without time limits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import settings

from tests.support import needs

# A slow machine is no error, and a red run must be red again when it is repeated.
settings.register_profile("raylot", deadline=None, derandomize=True)
settings.load_profile("raylot")

# As in trials; with more, threads wait for each other.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The folder that holds MNIST in torchvision's layout."""
    return needs.mnist_root()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    line = needs.closing_line(report.longrepr[2] for report in skipped)
    if line:
        terminalreporter.write_line(line)
